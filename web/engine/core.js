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
      return { plain: this.kernels instanceof sem2nerf.PlainKernels };
    }

    /** Planes of a mask -> the field of its scene. */
    makeField({ planes, style }) {
      const { model, kernels } = this;
      let codes = sem2nerf.codesOf(model, kernels, sem2nerf.encode(model, kernels, planes));
      if (style?.layers.length) {
        if (!this.styles.has(style.seed)) this.styles.clear();  // the last one alone is kept
        if (!this.styles.size) this.styles.set(style.seed, sem2nerf.styleCodes(model, kernels, style.seed));
        codes = sem2nerf.withLayersFrom(codes, this.styles.get(style.seed), style.layers, model.field.width);
      }
      return sem2nerf.fold(model, codes);
    }

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

    loadField(field) { this.kernels.loadField(field); }

    /**
     * Values and labels at texels of a cube: [n][4] colour, and density as the viewer takes it; [n], or null. With
     * `shapeOnly` the densities alone, [n], and null.
     */
    evaluate({ texels, size, half, softplus, shapeOnly }) {
      const points = sem2nerf.baking.centres(texels, size, half);
      const [values, labels] = shapeOnly ? [this.kernels.densities(points), null] : this.kernels.evaluate(points);
      if (softplus)  // positive, so that the viewer's clamp leaves it as it is
        for (let i = shapeOnly ? 0 : 3; i < values.length; i += shapeOnly ? 1 : 4)
          if (values[i] < 20) values[i] = Math.log1p(Math.exp(values[i]));
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
