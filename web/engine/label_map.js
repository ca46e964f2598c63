// The label map of a view, by all cores: of every second pixel in rows and columns, with few samples; then, with more
// of them, of the pixels around which these differ.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const QUICK = [6, 0], CAREFUL = [12, 8];  // samples of a ray's first and second pass
  const RAYS = 256, POINTS = 2048;          // that a core gets at a time
  const STAGES = [0.2, 0.4, 1];             // how far it is after the lattice, the quick and the careful pixels

  /**
   * Labels of the semantic head, size x size.
   *
   * @param engine its cores have the field; `viewing` and `bake` are the model's
   * @param {string} field which one, see core.js
   * @param wanted throws when nobody wants the map any more
   */
  sem2nerf.labelMap = async (engine, field, pose, size, wanted, onProgress) => {
    const { viewing, bake } = engine, count = sem2nerf.views.SIDE ** 3, lattice = new Float32Array(count);
    let stage = 0;
    const shared = (length, portion, act) => {
      const from = stage ? STAGES[stage - 1] : 0, share = STAGES[stage++] - from;
      let done = 0;
      return engine.shared(length, portion, wanted, async (core, start, end) => {
        await act(core, start, end);
        done += end - start;
        onProgress(from + share * done / length);
      });
    };
    await shared(count, POINTS, async (core, start, end) => {
      lattice.set(await core.call("lattice", { field, pose, viewing, from: start, to: end }), start);
    });
    await Promise.all(engine.cores.map(core => core.call("beginView", { pose, size, lattice, viewing, bake })));
    const labels = new Uint8Array(size * size);
    const look = (pixels, samples) => shared(pixels.length, RAYS, async (core, start, end) => {
      const some = pixels.slice(start, end), found = await core.call("look", { field, pixels: some, samples });
      some.forEach((pixel, i) => { labels[pixel] = found[i]; });
    });
    const all = Array.from({ length: size * size }, (_, pixel) => pixel), row = pixel => Math.floor(pixel / size);
    await look(all.filter(pixel => row(pixel) % 2 === 0 && pixel % size % 2 === 0), QUICK);
    await look(filled(labels, size), CAREFUL);
    return labels;
  };

  /** Gives every pixel the label of the one known above it and to its left; returns those whose neighbours differ. */
  function filled(labels, size) {
    const half = Math.ceil(size / 2), known = (y, x) => labels[2 * y * size + 2 * x], doubtful = [];
    for (let y = 0; y < half; y++) for (let x = 0; x < half; x++) {
      const label = known(y, x);
      let alike = true;
      for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, half - 1); v++)
        for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, half - 1); u++) alike &&= known(v, u) === label;
      for (let row = 2 * y; row < Math.min(2 * y + 2, size); row++) for (let column = 2 * x; column < Math.min(2 * x + 2, size); column++) {
        labels[row * size + column] = label;
        if (!alike) doubtful.push(row * size + column);
      }
    }
    return doubtful;
  }
})();
