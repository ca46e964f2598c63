// Edits that are drawn on the label map of a view: what they add to a head's codes. See `edited_codes` in
// models/sem2nerf.py.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const LARGEST_CODE = 1e4;  // those of heads are below 10

  /**
   * Codes that a page or a link holds as bytes: frequencies, then phase shifts, single precision, little endian.
   * @throws {Error} there are more or fewer than `count`, or they are not those of a head
   */
  function codesOfBytes(bytes, count, what) {
    if (bytes.length !== 4 * count) throw new Error(`${bytes.length} bytes for ${what}: these weights need ${4 * count}`);
    const codes = new Float32Array(bytes.slice().buffer);
    if (!codes.every(value => Math.abs(value) <= LARGEST_CODE)) throw new Error(`the ${what} hold numbers that no head has`);
    return codes;
  }

  const bytesOfCodes = codes => new Uint8Array(codes.slice().buffer);

  const sum = (codes, others) => codes.map((value, i) => value + others[i]);

  const same = (labels, others) => labels.length === others.length && labels.every((label, i) => label === others[i]);

  /** Delta encoding: E(after) - E(before), whose errors about a map that was rendered cancel. */
  class DeltaEncoder {
    constructor(model, kernels) { Object.assign(this, { model, kernels, known: null }); }

    /**
     * What a drawing adds to the codes: two maps of `size` x `size` pixels in labels of mask files.
     * @throws {Error} a map is background all over
     */
    added({ before, after, size }) {
      if (same(before, after)) return new Float32Array(this.model.codeCount);
      const wanted = this.encoded(after, size);
      // stroke after stroke is drawn on the same map
      if (!(this.known && same(this.known.labels, before))) this.known = { labels: before, codes: this.encoded(before, size) };
      return wanted.map((value, i) => value - this.known.codes[i]);
    }

    encoded(labels, size) {
      const { model, kernels } = this, planes = sem2nerf.framing.prepareSeen(labels, size, model.input);
      return sem2nerf.codesOf(model, kernels, sem2nerf.encode(model, kernels, planes));
    }
  }

  sem2nerf.edits = { DeltaEncoder, codesOfBytes, bytesOfCodes, sum };
})();
