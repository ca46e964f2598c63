// Matrix products in plain JavaScript: what wasm_kernels.js does, for browsers without WebAssembly SIMD.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const BLOCK = 128;  // points of the field at a time, so that their features stay in the cache

  class PlainKernels {
    /** x [rows][ins] -> [rows][outs]. */
    linear(x, rows, { weight, bias, ins, outs }) {
      const y = new Float32Array(rows * outs);
      for (let t = 0; t < rows; t += 4) {  // four rows share each weight that is read
        const n = Math.min(4, rows - t), a = t * ins, b = a + (n > 1 ? ins : 0), c = a + (n > 2 ? 2 * ins : 0);
        const d = a + (n > 3 ? 3 * ins : 0);
        for (let o = 0, w = 0; o < outs; o++) {
          let s0 = bias ? bias[o] : 0, s1 = s0, s2 = s0, s3 = s0;
          for (let i = 0; i < ins; i++, w++) {
            const v = weight[w];
            s0 += v * x[a + i]; s1 += v * x[b + i]; s2 += v * x[c + i]; s3 += v * x[d + i];
          }
          y[t * outs + o] = s0;
          if (n > 1) y[(t + 1) * outs + o] = s1;
          if (n > 2) y[(t + 2) * outs + o] = s2;
          if (n > 3) y[(t + 3) * outs + o] = s3;
        }
      }
      return y;
    }

    /** Take the folded field of one scene: what `fold` of codes.js gives. */
    loadField(field) { this.field = field; }

    /** points [n][3] -> [values, labels]: [n][4] colours in 0..1 and density before its clamp; [n] labels, or null. */
    evaluate(points) {
      const { sines, density, colour, semantics, labelBias } = this.field, count = points.length / 3;
      const out = new Float32Array(4 * count), labels = labelBias ? new Uint8Array(count) : null;
      for (let from = 0; from < count; from += BLOCK) {
        const n = Math.min(BLOCK, count - from), sums = labels && sem2nerf.labelSums(labelBias, n);
        let x = points.subarray(3 * from, 3 * (from + n));
        sines.forEach((layer, l) => {
          if (l === sines.length - 1) {
            const thick = this.linear(x, n, density);
            for (let i = 0; i < n; i++) out[4 * (from + i) + 3] = thick[i];
          }
          x = this.linear(x, n, layer).map(Math.sin);
          for (const { after, layer } of semantics) if (after === l) sums.add(this.linear(x, n, layer), layer.outs);
        });
        const rgb = this.linear(x, n, colour);
        for (let i = 0; i < n; i++)
          for (let c = 0; c < 3; c++) out[4 * (from + i) + c] = 1 / (1 + Math.exp(-rgb[3 * i + c]));
        labels?.set(sums.greatest(), from);
      }
      return [out, labels];
    }

    /** points [n][3] -> [densities before their clamp [n], probabilities of the labels [n][labels]]. */
    labelled(points) {
      const { sines, density, semantics, labelBias } = this.field, count = points.length / 3;
      const thick = new Float32Array(count), chances = new Float32Array(count * labelBias.length);
      for (let from = 0; from < count; from += BLOCK) {
        const n = Math.min(BLOCK, count - from), sums = sem2nerf.labelSums(labelBias, n);
        let x = points.subarray(3 * from, 3 * (from + n));
        sines.slice(0, -1).forEach((layer, l) => {
          x = this.linear(x, n, layer).map(Math.sin);
          for (const { after, layer } of semantics) if (after === l) sums.add(this.linear(x, n, layer), layer.outs);
        });
        thick.set(this.linear(x, n, density), from);
        chances.set(sums.chances(), from * labelBias.length);
      }
      return [thick, chances];
    }

    get labelCount() { return this.field.labelBias.length; }

    /** points [n][3] -> densities before their clamp [n]. */
    densities(points) {
      const { sines, density } = this.field, count = points.length / 3, out = new Float32Array(count);
      for (let from = 0; from < count; from += BLOCK) {
        const n = Math.min(BLOCK, count - from);
        let x = points.subarray(3 * from, 3 * (from + n));
        for (const layer of sines.slice(0, -1)) x = this.linear(x, n, layer).map(Math.sin);
        out.set(this.linear(x, n, density), from);
      }
      return out;
    }
  }

  /** Label logits of n points: begin with the bias, add products, take the greatest or the probabilities. */
  sem2nerf.labelSums = (bias, n) => {
    const count = bias.length, sums = new Float32Array(n * count);
    for (let i = 0; i < n; i++) sums.set(bias, i * count);
    return {
      /** products [n][stride], of which the first are the labels' */
      add(products, stride) {
        for (let i = 0; i < n; i++) for (let c = 0; c < count; c++) sums[i * count + c] += products[i * stride + c];
      },
      chances() { sem2nerf.softmax(sums, count); return sums; },
      greatest() {
        return Uint8Array.from({ length: n }, (_, i) => {
          let best = 0;
          for (let c = 1; c < count; c++) if (sums[i * count + c] > sums[i * count + best]) best = c;
          return best;
        });
      },
    };
  };

  sem2nerf.PlainKernels = PlainKernels;
})();
