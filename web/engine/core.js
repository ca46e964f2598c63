// What one core does; worker.js calls it from a worker, local_engine.js itself where there are no workers. One core of
// the page is the first: it alone holds the model, and does what is not divided.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  sem2nerf.Core = class {
    /** @param {?Uint8Array} wasm kernels.wasm; null: plain JavaScript */
    async begin({ wasm, model }) {
      this.kernels = await sem2nerf.WasmKernels.create(wasm) ?? new sem2nerf.PlainKernels();
      if (model) this.model = new sem2nerf.Model(model);
      this.styles = new Map();
      this.fields = new Map();
      if (model) this.deltas = new sem2nerf.edits.DeltaEncoder(this.model, this.kernels);
      return { plain: this.kernels instanceof sem2nerf.PlainKernels };
    }

    /** Planes of a mask, a style, and what edits add (bytes, or null) -> the codes of a head. */
    codes({ planes, style, edit }) {
      const { model, kernels } = this;
      let codes = sem2nerf.codesOf(model, kernels, sem2nerf.encode(model, kernels, planes));
      if (style?.layers.length) codes = sem2nerf.withLayersFrom(codes, this.styleOf(style), style.layers, model.field.width);
      return edit ? sem2nerf.edits.sum(codes, sem2nerf.edits.codesOfBytes(edit, model.codeCount, "codes of the edits")) : codes;
    }

    /** The codes of a seed, or those that a picture gave to some layers. */
    styleOf({ seed, layers, codes }) {
      const { model, kernels } = this, { width } = model.field;
      if (codes) {
        const some = sem2nerf.edits.codesOfBytes(codes, 2 * layers.length * width, "codes of the style");
        return sem2nerf.spreadOut(some, layers, width, model.codeCount);
      }
      if (!this.styles.has(seed)) this.styles.clear();  // the last one alone is kept
      if (!this.styles.size) this.styles.set(seed, sem2nerf.styleCodes(model, kernels, seed));
      return this.styles.get(seed);
    }

    /** The codes of the head that looks like a drawing, and what all edits add by then: bytes. */
    draw({ codes, drawing: { edit, ...maps } }) {
      const { codesOfBytes, bytesOfCodes, sum } = sem2nerf.edits, added = this.deltas.added(maps);
      const all = edit ? sum(codesOfBytes(edit, codes.length, "codes of the edits"), added) : added;
      return [sum(codes, added), bytesOfCodes(all)];
    }

    makeField(codes) { return sem2nerf.fold(this.model, codes); }

    /**
     * Planes of a mask, see maps.js.
     * @throws {Error} it shows no face
     */
    prepare({ labels, width, height }) {
      const planes = sem2nerf.maps.prepare(labels, width, height, this.model.input);
      sem2nerf.oddities.checkFace(labels, planes, this.model.input);
      return planes;
    }

    /** What is odd about a mask: sentences. */
    oddities({ labels, width, planes }) { return sem2nerf.oddities.all(labels, width, planes, this.model.input); }

    /** Keep a field under a name: a run and a map may be in progress at the same time. */
    keepField({ name, field }) {
      this.fields.set(name, field);
      if (this.loaded === name) this.loaded = null;
    }

    /** The kernels, with one of the fields. */
    with(name) {
      if (this.loaded !== name) this.kernels.loadField(this.fields.get(name));
      this.loaded = name;
      return this.kernels;
    }

    /** Densities at some points of the lattice of a view, see views.js. */
    lattice({ field, pose, viewing, from, to }) {
      return this.with(field).densities(sem2nerf.views.latticePoints(pose, viewing, from, to));
    }

    beginView(about) { this.view = new sem2nerf.View(about); }

    /** Labels of some pixels of that view. */
    look({ field, pixels, samples }) { return this.view.labels(this.with(field), pixels, samples); }

    /**
     * Values and labels at texels of a cube: [n][4] colour, and density as the viewer takes it; [n], or null. With
     * `shapeOnly` the densities alone, [n], and null.
     */
    evaluate({ field, texels, size, half, softplus, shapeOnly }) {
      const points = sem2nerf.baking.centres(texels, size, half), kernels = this.with(field);
      const [values, labels] = shapeOnly ? [kernels.densities(points), null] : kernels.evaluate(points);
      if (softplus)  // positive, so that the viewer's clamp leaves it as it is
        for (let i = shapeOnly ? 0 : 3; i < values.length; i += shapeOnly ? 1 : 4)
          values[i] = sem2nerf.baking.softplus(values[i]);
      return [values, labels];
    }

    /**
     * Which texels of a middle volume to evaluate: {size, texels}. The coarse ones are kept for `choose` and `finish`.
     */
    middle({ texels, labels, size }) {
      const { bake } = this.model, density = new Float32Array(size ** 3), fine = Math.floor(size * bake.middle);
      for (let i = 0; i < density.length; i++) density[i] = texels[4 * i + 3];
      this.coarse = { texels, labels, size, density };
      const cells = sem2nerf.baking.visible(this.model, density, size, bake.overshoot);
      return { size: fine, texels: sem2nerf.baking.refined(cells, size, fine) };
    }

    /** Which texels of each finer size to evaluate, after the densities of the middle volume. */
    choose({ densities, texels, size, sizes }) {
      const { density, size: old } = this.coarse;
      const all = sem2nerf.baking.enlargedTexels(density, old, size, 1);
      for (let i = 0; i < texels.length; i++) all[texels[i]] = densities[i];
      const cells = sem2nerf.baking.visible(this.model, all, size);
      return sizes.map(fine => sem2nerf.baking.refined(cells, size, fine));
    }

    /** Bytes and labels of a finer volume, from values at the texels that were evaluated. */
    finish({ values, labels, texels, size, scale }) {
      const { coarse } = this;
      const all = coarse.labels && sem2nerf.baking.nearest(coarse.labels, coarse.size, size);
      const fine = sem2nerf.baking.enlargedTexels(coarse.texels, coarse.size, size);
      for (let i = 0; i < texels.length; i++) for (let c = 0; c < 4; c++) fine[4 * texels[i] + c] = values[4 * i + c];
      if (all) for (let i = 0; i < texels.length; i++) all[texels[i]] = labels[i];
      return [sem2nerf.baking.toBytes(fine, this.model.bake, scale), all];
    }
  };
})();
