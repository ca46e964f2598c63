// Which texels of a volume to evaluate, and its bytes. The same rules as web/volume/baking.py and web/volume/visibility.py, whose
// constants are in the model's `bake` and `viewing`.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const spread = ([low, high], count) => Array.from({ length: count }, (_, i) => low + (high - low) * i / (count - 1));

  /** Origin and unit directions [rays^2][3] of cameras all over the allowed poses, with the widest field of view. */
  function* cameras({ yawRange, pitchRange, fovRange }, yaws, pitches, rays) {
    const slope = Math.tan(fovRange[1] * Math.PI / 360), line = spread([-slope, slope], rays);
    for (const yaw of spread(yawRange, yaws)) for (const pitch of spread(pitchRange, pitches)) {
      const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
      const right = [cy, 0, -sy], up = [-sy * sp, cp, -cy * sp], origin = [sy * cp, sp, cy * cp];
      const directions = new Float64Array(3 * rays * rays);
      let at = 0;
      for (const v of line) for (const u of line) {
        const length = Math.hypot(u, v, 1);
        for (let k = 0; k < 3; k++) directions[at++] = (u * right[k] + v * up[k] - origin[k]) / length;
      }
      yield { origin, directions };
    }
  }

  /** Number of the texel that a coordinate lies in; of the nearest one outside. */
  const texelOf = (x, size, half) => Math.min(Math.max(Math.trunc((x / half + 1) / 2 * size), 0), size - 1);

  /** The greatest (or smallest) of each texel and its 26 neighbours. */
  function grown(values, size, better = Math.max) {
    let from = values;
    for (const stride of [1, size, size * size]) {
      const out = from.slice();
      for (let i = 0; i < from.length; i++) {
        const place = Math.floor(i / stride) % size;
        if (place > 0) out[i] = better(out[i], from[i - stride]);
        if (place < size - 1) out[i] = better(out[i], from[i + stride]);
      }
      from = out;
    }
    return from;
  }

  /** Numbers of the texels of the background that the ends of rays touch. */
  function backgroundTexels({ bake, viewing }, size) {
    const ends = new Uint8Array(size ** 3), half = bake.backgroundHalf;
    const all = cameras(viewing, bake.backgroundYaws, bake.backgroundPitches, bake.backgroundRays);
    for (const { origin, directions } of all)
      for (let i = 0; i < directions.length; i += 3) {
        const [x, y, z] = origin.map((from, k) => texelOf(from + directions[i + k] * viewing.rayEnd, size, half));
        ends[(z * size + y) * size + x] = 1;
      }
    return chosen(grown(ends, size));
  }

  /** Numbers of the texels that are set. */
  function chosen(flags) {
    const out = new Int32Array(flags.length);
    let count = 0;
    for (let i = 0; i < flags.length; i++) if (flags[i]) out[count++] = i;
    return out.slice(0, count);
  }

  /** The clamp to positive values of some cameras. */
  const softplus = value => value < 20 ? Math.log1p(Math.exp(value)) : value;

  /** Which texels of a volume can be seen: one byte each. `density` is before its clamp to positive values. */
  function visible({ bake, viewing }, density, size, overshoot = 0) {
    const { half } = bake, { rayStart, rayEnd } = viewing;
    const steps = Math.ceil((rayEnd - rayStart) / (2 * half / size) * bake.stepsPerTexel);
    const step = (rayEnd - rayStart) / steps, light = new Float32Array(size ** 3);
    const passing = Float32Array.from(density, value => value > 0 ? Math.exp(-value * step) : 1);
    const scale = size / (2 * half);  // texels per unit
    for (const { origin, directions } of cameras(viewing, bake.yaws, bake.pitches, bake.rays)) {
      const [ox, oy, oz] = origin.map(value => (value + half) * scale);  // in texels from the cube's corner
      for (let i = 0; i < directions.length; i += 3) {
        const dx = directions[i] * scale, dy = directions[i + 1] * scale, dz = directions[i + 2] * scale;
        let passes = 1;
        for (let s = 0; s < steps; s++) {
          const depth = rayStart + (s + 0.5) * step, x = ox + dx * depth, y = oy + dy * depth, z = oz + dz * depth;
          if (!(x > 0 && y > 0 && z > 0 && x < size && y < size && z < size)) continue;
          const at = (Math.floor(z) * size + Math.floor(y)) * size + Math.floor(x);
          if (passes > light[at]) light[at] = passes;
          passes *= passing[at];
          if (passes <= bake.minShare) break;  // less reaches nothing that counts
        }
      }
    }
    const most = grown(density, size), least = overshoot ? grown(density, size, Math.min) : most;
    return Uint8Array.from(light, (reaching, i) => {
      const dense = most[i] + (most[i] - least[i]) * overshoot;
      return dense > 0 && reaching * -Math.expm1(-dense * step) > bake.minShare ? 1 : 0;
    });
  }

  /** Values of a cube [old^3] at another size: for each texel that of the one in which its centre lies. */
  function nearest(values, old, size) {
    const out = new Uint8Array(size ** 3);
    const from = Int32Array.from({ length: size }, (_, i) => Math.floor((2 * i + 1) * old / (2 * size)));
    for (let z = 0, at = 0; z < size; z++) for (let y = 0; y < size; y++) {
      const row = (from[z] * old + from[y]) * old;
      for (let x = 0; x < size; x++) out[at++] = values[row + from[x]];
    }
    return out;
  }

  /** Numbers of the texels of another size whose centres lie in those that are set. */
  const refined = (cells, old, size) => chosen(nearest(cells, old, size));

  /** Positions of texels by their numbers: [n][3]. */
  function centres(texels, size, half) {
    const out = new Float32Array(3 * texels.length);
    const line = Array.from({ length: size }, (_, i) => ((i + 0.5) / size * 2 - 1) * half);
    for (let i = 0; i < texels.length; i++) {
      const at = texels[i];
      out[3 * i] = line[at % size];
      out[3 * i + 1] = line[Math.floor(at / size) % size];
      out[3 * i + 2] = line[Math.floor(at / (size * size))];
    }
    return out;
  }

  /** [old^3][channels] -> [size^3][channels], linear between texel centres, clamped at the edges. */
  function enlargedTexels(texels, old, size, channels = 4) {
    const low = new Int32Array(size), weight = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      const place = Math.max((i + 0.5) * old / size - 0.5, 0);
      low[i] = Math.min(Math.floor(place), old - 1);
      weight[i] = place - low[i];
    }
    const along = (from, stride) => {  // the axis whose texels are `stride` numbers apart
      const blocks = from.length / (old * stride), out = new Float32Array(blocks * size * stride);
      let at = 0;
      for (let block = 0; block < blocks; block++) for (let i = 0; i < size; i++) {
        const a = (block * old + low[i]) * stride, b = (block * old + Math.min(low[i] + 1, old - 1)) * stride;
        const right = weight[i], left = 1 - right;
        for (let s = 0; s < stride; s++) out[at++] = from[a + s] * left + from[b + s] * right;
      }
      return out;
    };
    return along(along(along(texels, channels), channels * size), channels * size ** 2);
  }

  /** Colours and densities [n][4] -> bytes, density around `zero`. */
  function toBytes(texels, { zero }, scale) {
    const out = new Uint8ClampedArray(texels.length);  // rounds to even and clamps, as PyTorch does
    const unit = (255 - zero) / scale;
    for (let i = 0; i < texels.length; i += 4) {
      for (let c = 0; c < 3; c++) out[i + c] = texels[i + c] * 255;
      out[i + 3] = zero + texels[i + 3] * unit;
    }
    return new Uint8Array(out.buffer);
  }

  /** Density of byte 255. */
  function scaleOf(texels, { minScale, roomAbove }) {
    let most = minScale;
    for (let i = 3; i < texels.length; i += 4) if (texels[i] > most) most = texels[i];
    return most * roomAbove;
  }

  /** Colours of a background [size^3][3] from values at the chosen texels. */
  function backgroundBytes(values, texels, size, { lastBack }) {
    const rgb = new Uint8ClampedArray(3 * size ** 3);
    for (let i = 0; i < texels.length; i++) if (lastBack || values[4 * i + 3] > 0)
      for (let c = 0; c < 3; c++) rgb[3 * texels[i] + c] = values[4 * i + c] * 255;
    return new Uint8Array(rgb.buffer);
  }

  sem2nerf.baking = { backgroundTexels, visible, nearest, refined, centres, enlargedTexels, toBytes, scaleOf,
                      backgroundBytes, grown, softplus };
})();
