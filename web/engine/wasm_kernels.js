// Matrix products by kernels.wasm: the methods of plain_kernels.js, some thirty times as fast.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const BLOCK = 128;   // points of the field at a time, so that their features stay in the cache
  const COLUMNS = 8;   // the kernel's tiles: outputs are padded to a multiple of this, rows to one of 4
  const up = (number, unit) => Math.ceil(number / unit) * unit;

  /** Writes weights [outs][ins] as the kernel reads them: [outs / 8][ins][8], padded with zeros. */
  function pack(to, { weight, ins, outs }) {
    if (outs % COLUMNS) to.fill(0, (outs - outs % COLUMNS) * ins);
    for (let o = 0, from = 0; o < outs; o++)
      for (let i = 0, at = (o - o % COLUMNS) * ins + o % COLUMNS; i < ins; i++, at += COLUMNS) to[at] = weight[from++];
  }

  class WasmKernels {
    /** @returns {Promise<WasmKernels|null>} null where this browser cannot run the module */
    static async create(bytes) {
      if (!bytes || typeof WebAssembly === "undefined" || !WebAssembly.validate(bytes)) return null;
      return new WasmKernels((await WebAssembly.instantiate(bytes)).instance.exports);
    }

    constructor(exports) {
      this.wasm = exports;
      this.free = up(exports.heap(), 64);
      this.kept = new Map();
      this.rooms = {};
    }

    /** Place for some floats; its address. */
    room(floats) {
      const at = this.free;
      this.free += up(4 * floats, 64);
      const lacking = this.free - this.wasm.memory.buffer.byteLength;
      if (lacking > 0) this.wasm.memory.grow(Math.ceil(lacking / 65536));
      return at;
    }

    /** A place under a name, used again for as long as it is large enough. */
    named(name, floats) {
      if (!(this.rooms[name]?.floats >= floats)) this.rooms[name] = { at: this.room(floats), floats };
      return this.rooms[name].at;
    }

    view(at, floats) { return new Float32Array(this.wasm.memory.buffer, at, floats); }

    /** Where a layer's weights and bias lie, copied there under a name. */
    place(name, layer) {
      const outs = up(layer.outs, COLUMNS), size = outs * layer.ins;
      const at = this.named(name + " weight", size), bias = this.named(name + " bias", outs);
      pack(this.view(at, size), layer);
      const filled = this.view(bias, outs).fill(0);
      if (layer.bias) filled.set(layer.bias);
      return { at, bias, ins: layer.ins, outs };
    }

    /** x [rows][ins] -> [rows][outs]. With `keep` the layer will come again: its weights stay in the module. */
    linear(x, rows, layer, keep = true) {
      if (keep && !this.kept.has(layer)) this.kept.set(layer, this.place(`layer ${this.kept.size}`, layer));
      const { at, bias, ins, outs } = keep ? this.kept.get(layer) : this.place("passing", layer), n = up(rows, 4);
      const from = this.named("in", n * ins), to = this.named("out", n * outs);
      this.view(from, rows * ins).set(x.subarray(0, rows * ins));
      this.wasm.product(from, ins, at, outs, bias, to, n, 0);
      const all = this.view(to, rows * outs);
      if (outs === layer.outs) return all.slice();
      const y = new Float32Array(rows * layer.outs);
      for (let t = 0; t < rows; t++) y.set(all.subarray(t * outs, t * outs + layer.outs), t * layer.outs);
      return y;
    }

    /** Take the folded field of one scene: what `fold` of codes.js gives. */
    loadField({ sines, density, colour, semantics, labelBias }) {
      let before = sines[0].ins;  // features of a layer are padded, so the next one has more inputs
      const wider = (layer, ins) => {
        if (layer.ins === ins) return layer;
        const weight = new Float32Array(layer.outs * ins);
        for (let o = 0, from = 0; o < layer.outs; o++, from += layer.ins)
          weight.set(layer.weight.subarray(from, from + layer.ins), o * ins);
        return { ...layer, weight, ins };
      };
      this.sines = sines.map((layer, l) => {
        const placed = this.place(`sine ${l}`, wider(layer, before));
        before = placed.outs;
        return placed;
      });
      this.density = this.place("density", wider(density, this.sines.at(-2).outs));
      this.colour = this.place("colour", wider(colour, before));
      this.semantics = semantics.map(({ after, layer }) =>
        ({ after, layer: this.place(`labels ${after}`, wider(layer, this.sines[after].outs)) }));
      this.labelBias = labelBias;
      this.widest = Math.max(...this.sines.map(layer => layer.outs), ...this.semantics.map(({ layer }) => layer.outs));
    }

    /** points [n][3] -> [values, labels]: [n][4] colours in 0..1 and density before its clamp; [n] labels, or null. */
    evaluate(points) {
      const { sines, colour, labelBias } = this, count = points.length / 3;
      const out = new Float32Array(4 * count), labels = labelBias ? new Uint8Array(count) : null;
      const rgb = this.named("colours", BLOCK * COLUMNS);
      for (let from = 0; from < count; from += BLOCK) {
        const here = Math.min(BLOCK, count - from), sums = labels && sem2nerf.labelSums(labelBias, here);
        const x = this.through(points, from, here, sines.length, sums ? this.adding(sums, here) : () => {},
          (i, density) => { out[4 * (from + i) + 3] = density; });
        this.apply(colour, x, rgb, up(here, 4), 0);
        const colours = this.view(rgb, here * COLUMNS);
        for (let i = 0; i < here; i++)
          for (let c = 0; c < 3; c++) out[4 * (from + i) + c] = 1 / (1 + Math.exp(-colours[i * COLUMNS + c]));
        labels?.set(sums.greatest(), from);
      }
      return [out, labels];
    }

    /** points [n][3] -> [densities before their clamp [n], probabilities of the labels [n][labels]]. */
    labelled(points) {
      const { sines, labelBias } = this, count = points.length / 3;
      const densities = new Float32Array(count), chances = new Float32Array(count * labelBias.length);
      for (let from = 0; from < count; from += BLOCK) {
        const here = Math.min(BLOCK, count - from), sums = sem2nerf.labelSums(labelBias, here);
        this.through(points, from, here, sines.length - 1, this.adding(sums, here), (i, density) => { densities[from + i] = density; });
        chances.set(sums.chances(), from * labelBias.length);
      }
      return [densities, chances];
    }

    get labelCount() { return this.labelBias.length; }

    /** For `through`: adds label logits of a block of points up. */
    adding(sums, here) {
      const logits = this.named("logits", BLOCK * this.widest);
      return (l, x, n) => {
        for (const { after, layer } of this.semantics) if (after === l) {
          this.apply(layer, x, logits, n, 0);
          sums.add(this.view(logits, here * layer.outs), layer.outs);
        }
      };
    }

    /** points [n][3] -> densities before their clamp [n]. */
    densities(points) {
      const count = points.length / 3, out = new Float32Array(count);
      for (let from = 0; from < count; from += BLOCK) {
        const here = Math.min(BLOCK, count - from);
        this.through(points, from, here, this.sines.length - 1, () => {}, (i, density) => { out[from + i] = density; });
      }
      return out;
    }

    /**
     * A block of points through some sines; where the features of the last one lie.
     * @param after (l, features, rows): called after each of them
     * @param take (i, density): called for each point
     */
    through(points, from, here, layers, after, take) {
      const { sines, density } = this, n = up(here, 4), thick = this.named("densities", BLOCK * COLUMNS);
      let x = this.named("features", BLOCK * this.widest), y = this.named("more features", BLOCK * this.widest);
      this.view(x, 3 * here).set(points.subarray(3 * from, 3 * (from + here)));
      for (let l = 0; l < sines.length; l++) {
        if (l === sines.length - 1) this.apply(density, x, thick, n, 0);
        if (l >= layers) break;
        this.apply(sines[l], x, y, n, 1);
        [x, y] = [y, x];
        after(l, x, n);
      }
      const densities = this.view(thick, here * COLUMNS);
      for (let i = 0; i < here; i++) take(i, densities[i * COLUMNS]);
      return x;
    }

    /** Product of a placed layer, and its sine if `through`. */
    apply(layer, from, to, n, through) {
      this.wasm.product(from, layer.ins, layer.at, layer.outs, layer.bias, to, n, through);
    }
  }

  sem2nerf.WasmKernels = WasmKernels;
})();
