// A model as scripts/export_editor.py stores it: a table of contents (JSON), then the weights.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  /** Half-precision numbers, given as their bits, in single precision. */
  function fromHalves(bits) {
    const out = new Float32Array(bits.length), whole = new Uint32Array(out.buffer);
    for (let i = 0; i < bits.length; i++) {
      const exponent = bits[i] >> 10 & 31, fraction = bits[i] & 1023;
      if (exponent) whole[i] = (bits[i] & 0x8000) << 16 | exponent + 112 << 23 | fraction << 13;
      else out[i] = (bits[i] & 0x8000 ? -1 : 1) * fraction * 2 ** -24;
    }
    return out;
  }

  /** The table of contents, and where the weights begin. */
  function readHeader(file) {
    const length = new DataView(file).getUint32(0, true);
    return { header: JSON.parse(new TextDecoder().decode(new Uint8Array(file, 4, length))), start: 4 + length };
  }

  /**
   * Everything that the engine knows about a network. `header` is what web/engine/model_file.py wrote: `encoder`,
   * `field`, `codes`, `input`, `viewing`, `bake`, and `tensors`, where name -> [type, offset, shape].
   */
  class Model {
    /** @param {ArrayBuffer} file its length of header (32 bit), header, weights, each from a multiple of 16 bytes on */
    constructor(file) {
      const { header, start } = readHeader(file);
      Object.assign(this, header);
      this.weights = {};
      for (const [name, [type, offset, shape]] of Object.entries(this.tensors)) {
        const count = shape.reduce((a, b) => a * b, 1);
        this.weights[name] = type === "float32" ? new Float32Array(file, start + offset, count)
          : fromHalves(new Uint16Array(file, start + offset, count));
      }
      this.made = new Map();
    }

    /** Frequencies and phase shifts of a head, all together. */
    get codeCount() { return 2 * this.field.sines.length * this.field.width; }

    /** What `make` returns, made once for each name. */
    once(name, make) {
      if (!this.made.has(name)) this.made.set(name, make());
      return this.made.get(name);
    }

    /** A linear layer {weight [outs][ins], bias or null, ins, outs}; the same object each time. */
    layer(name) {
      return this.once(`layer ${name}`, () => {
        const weight = this.weights[name + ".weight"], outs = this.tensors[name + ".weight"][2][0];
        return { weight, bias: this.weights[name + ".bias"] ?? null, ins: weight.length / outs, outs };
      });
    }
  }

  Object.assign(sem2nerf, { Model, readHeader });
})();
