// The label map of a view, as a core makes it. A lattice of densities, one of its rays for every few pixels, tells where
// something may be along a ray; there the field is asked for density and labels. As in models/pigan/integration.py, a
// pixel's label is the one of the greatest probability, with the weights that a sample's colour would have.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const SIDE = 36;       // rays of the lattice along each side, and densities along each ray
  const DARK = 1e-3;     // of a ray's light: less does not decide about a label
  const DARKNESS = 9;    // optical depth by the lattice, which is not exact, behind which nothing is looked for
  const LEAST = 1e-3;    // share of a ray's samples of the second pass that each stretch gets, beside its weight

  /** A camera's rays through the pixels of a square image; angles count from the front, see models/pigan/cameras.py. */
  class Rays {
    constructor({ yaw, pitch, fov }, size) {
      this.size = size;
      this.origin = [-Math.sin(yaw) * Math.cos(pitch), -Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)];
      const [x, y, z] = this.origin, flat = Math.hypot(x, z), right = [z / flat, 0, -x / flat];
      this.right = right;
      this.up = [y * right[2], z * right[0] - x * right[2], -y * right[0]];
      this.slope = Math.tan(fov * Math.PI / 360);
    }

    /** The unit direction of a ray. */
    direction(row, column) {
      const { origin, right, up, slope, size } = this;
      const u = slope * (2 * column / (size - 1) - 1), v = slope * (1 - 2 * row / (size - 1)), length = Math.hypot(u, v, 1);
      return origin.map((back, k) => (u * right[k] + v * up[k] - back) / length);
    }
  }

  /** Positions [to - from][3] of some points of the lattice; depths are the fastest. */
  function latticePoints(pose, { rayStart, rayEnd }, from, to) {
    const rays = new Rays(pose, SIDE), points = new Float32Array(3 * (to - from));
    for (let at = from, direction, ray; at < to; at++) {
      if (ray !== (ray = Math.floor(at / SIDE))) direction = rays.direction(Math.floor(ray / SIDE), ray % SIDE);
      const depth = rayStart + (at % SIDE + 0.5) / SIDE * (rayEnd - rayStart);
      for (let k = 0; k < 3; k++) points[3 * (at - from) + k] = rays.origin[k] + direction[k] * depth;
    }
    return points;
  }

  /** Sets the weights of a ray's samples, in the order of their places, and returns what is left of its light. */
  function weigh(samples, cells, step) {
    let passes = 1;
    samples.forEach((sample, i) => {
      const from = i ? (samples[i - 1].place + sample.place) / 2 : 0;
      const to = i + 1 < samples.length ? (sample.place + samples[i + 1].place) / 2 : cells;
      const behind = passes * Math.exp(-sample.density * (to - from) * step);
      sample.weight = passes - behind;
      passes = behind;
    });
    return passes;
  }

  const spread = (count, cells) => Array.from({ length: count }, (_, i) => (i + 0.5) / count * cells);

  /** Places where the weights of evenly spread samples are. */
  function placed(samples, count, cells) {
    const shares = samples.map(({ weight }) => weight + LEAST), whole = shares.reduce((a, b) => a + b);
    let i = 0, before = 0;
    return Array.from({ length: count }, (_, k) => {
      const wanted = (k + 0.5) / count * whole;
      while (i < shares.length - 1 && before + shares[i] < wanted) before += shares[i++];
      return (i + Math.min((wanted - before) / shares[i], 1)) * cells / shares.length;
    });
  }

  class View {
    /**
     * @param lattice densities before their clamp, at `latticePoints` of this pose
     * @param viewing, bake the model's
     */
    constructor({ pose, size, lattice, viewing, bake }) {
      const { grown, softplus } = sem2nerf.baking, most = grown(lattice, SIDE), least = grown(lattice, SIDE, Math.min);
      Object.assign(this, { size, lattice, viewing, bake, rays: new Rays(pose, size) });
      this.clamp = bake.softplus ? softplus : value => Math.max(value, 0);
      this.step = (viewing.rayEnd - viewing.rayStart) / SIDE;
      this.occupied = most.map((value, i) => this.clamp(value + (value - least[i]) * bake.overshoot) > 0 ? 1 : 0);
    }

    /** A ray, and the cells along it in which there may be something to be seen. */
    ray(pixel) {
      const { size, occupied, lattice } = this, row = Math.floor(pixel / size), column = pixel % size, cells = [];
      const y = row * (SIDE - 1) / (size - 1), x = column * (SIDE - 1) / (size - 1);
      const nearest = (Math.round(y) * SIDE + Math.round(x)) * SIDE;
      const top = Math.min(Math.floor(y), SIDE - 2), left = Math.min(Math.floor(x), SIDE - 2), v = y - top, u = x - left;
      const corner = (top * SIDE + left) * SIDE, below = corner + SIDE * SIDE;
      for (let cell = 0, passed = 0; cell < SIDE && passed < DARKNESS; cell++) {
        if (occupied[nearest + cell]) cells.push(cell);
        // the clamp comes last: before it, density is smooth
        passed += this.clamp((lattice[corner + cell] * (1 - u) + lattice[corner + SIDE + cell] * u) * (1 - v)
          + (lattice[below + cell] * (1 - u) + lattice[below + SIDE + cell] * u) * v) * this.step;
      }
      return { direction: this.rays.direction(row, column), cells, samples: [], left: 1 };
    }

    /** Asks the field about some depths of each ray: `places` count in its cells, one behind the other. */
    sample(kernels, rays, places) {
      const { origin } = this.rays, { rayStart } = this.viewing, points = new Float32Array(3 * places.flat().length);
      let at = 0;
      rays.forEach(({ direction, cells }, ray) => {
        for (const place of places[ray]) {
          const cell = Math.min(Math.floor(place), cells.length - 1);
          const depth = rayStart + (cells[cell] + place - cell) * this.step;
          for (let k = 0; k < 3; k++) points[at++] = origin[k] + direction[k] * depth;
        }
      });
      const [densities, chances] = kernels.labelled(points);
      at = 0;
      return places.map(some => some.map(place => ({ place, density: this.clamp(densities[at]), weight: 0, chances, at: at++ })));
    }

    /** Labels of some pixels, in the numbers of the semantic head; [samples of a ray's first pass, of its second]. */
    labels(kernels, pixels, [first, second]) {
      const all = Array.from(pixels, pixel => this.ray(pixel)), rays = all.filter(({ cells }) => cells.length);
      const take = places => this.sample(kernels, rays, places).forEach((samples, ray) => {
        const { samples: before, cells } = rays[ray], both = [...before, ...samples].sort((a, b) => a.place - b.place);
        Object.assign(rays[ray], { samples: both, left: weigh(both, cells.length, this.step) });
      });
      take(rays.map(({ cells }) => spread(first, cells.length)));
      if (second) take(rays.map(({ samples, cells }) => placed(samples, second, cells.length)));
      this.end(kernels, all.filter(({ left }) => left > DARK));
      return Uint8Array.from(all, ({ samples }) => likeliest(samples, kernels.labelCount));
    }

    /** What is left of a ray's light belongs to its far end, unless that is empty and the camera leaves it dark. */
    end(kernels, rays) {
      const { rays: { origin }, viewing, bake } = this, points = new Float32Array(3 * rays.length);
      rays.forEach(({ direction }, ray) => points.set(direction.map((along, k) => origin[k] + along * viewing.rayEnd), 3 * ray));
      const [densities, chances] = kernels.labelled(points);
      rays.forEach(({ samples, left }, at) => {
        if (bake.lastBack || this.clamp(densities[at]) > 0) samples.push({ weight: left, chances, at });
      });
    }
  }

  /** The label of the greatest probability. */
  function likeliest(samples, count) {
    const sums = new Float64Array(count);
    for (const { weight, chances, at } of samples) for (let c = 0; c < count; c++) sums[c] += weight * chances[at * count + c];
    let best = 0;
    for (let c = 1; c < count; c++) if (sums[c] > sums[best]) best = c;
    return best;
  }

  Object.assign(sem2nerf, { View, views: { SIDE, Rays, latticePoints } });
})();
