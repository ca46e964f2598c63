"use strict";
// Volumes as they travel (web/volume/packing.py describes the bytes) and as the viewer takes them:
//
//   {size, half, densityScale, rgba: Uint8Array(4 size^3), background: {size, half, rgb: Uint8Array(3 size^3)},
//    labels: Uint8Array(size^3) | null}
//
// Texels are in the order [z][y][x]. Density before its clamp is (A - 128) * densityScale / 127.

(() => {
  const sem2nerf = globalThis.sem2nerf ??= {};
  const MAGIC = "S2NV", VERSION = 1, LARGEST = 256;

  /**
   * A packed volume.
   * @param {ArrayBuffer | Uint8Array} packed
   * @param coarse the volume that this one was packed relative to, if it was
   * @throws {Error} the bytes are no packed volume, or it needs another coarse one
   */
  sem2nerf.unpackVolume = async (packed, coarse = null) => {
    const bytes = packed instanceof Uint8Array ? packed : new Uint8Array(packed);
    const header = readHeader(bytes), parts = {};
    let at = header.end;
    for (const [name, length] of Object.entries(header.parts)) {
      parts[name] = length ? inflate(bytes.subarray(at, at + length)) : null;
      at += length;
    }
    if (at !== bytes.length) throw Error(`The volume has ${bytes.length} bytes, and should have ${at}.`);
    const { size, half, densityScale, base } = header;
    if (base && coarse?.size !== base) throw Error(`The volume needs one of ${base} texels, which is not there.`);
    const rgba = interleaved(expect(await parts.rgba, 4 * size ** 3), 4);
    if (base) {
      const guess = sem2nerf.enlarge(coarse.rgba, base, size / base);
      for (let i = 0; i < rgba.length; i++) rgba[i] += guess[i];   // modulo 256
    }
    const background = { size: header.background.size, half: header.background.half };
    background.rgb = interleaved(expect(await parts.background, 3 * background.size ** 3), 3);
    const labels = parts.labels && expect(await parts.labels, size ** 3);
    return { size, half, densityScale, rgba, background, labels };
  };

  function readHeader(bytes) {
    const length = bytes.length < 8 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
    if (String.fromCharCode(...bytes.subarray(0, 4)) !== MAGIC || 8 + length > bytes.length)
      throw Error("These bytes are no volume.");
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    if (header.version !== VERSION) throw Error(`The volume has format ${header.version}; this page reads ${VERSION}.`);
    for (const size of [header.size, header.background.size])
      if (!Number.isInteger(size) || size < 1 || size > LARGEST) throw Error(`A volume of ${size} texels cannot be read.`);
    if (header.base && header.size % header.base) throw Error("The volume does not fit the one before it.");
    return { ...header, end: 8 + length };
  }

  async function inflate(bytes) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function expect(bytes, length) {
    if (bytes?.length !== length) throw Error(`A part of the volume has ${bytes?.length} bytes instead of ${length}.`);
    return bytes;
  }

  /** Channel after channel -> texel after texel. */
  function interleaved(planes, channels) {
    const out = new Uint8Array(planes.length);
    let from = 0;
    for (let channel = 0; channel < channels; channel++)
      for (let i = channel; i < out.length; i += channels) out[i] = planes[from++];
    return out;
  }

  /**
   * RGBA texels, k times as many along each side: linear between texel centres, in whole numbers, so that Python and
   * every browser get the same ones.
   */
  sem2nerf.enlarge = (rgba, size, k) => {
    const low = [], high = [], weight = [];
    for (let i = 0; i < size * k; i++) {
      const place = 2 * i + 1 - k, left = Math.floor(place / (2 * k));
      low.push(Math.max(left, 0));
      high.push(Math.min(left + 1, size - 1));
      weight.push(place - 2 * k * left);
    }
    /** Along the axis whose texels are `stride` numbers apart. */
    const along = (from, stride) => {
      const out = new Int32Array(from.length * k), blocks = from.length / (size * stride);
      for (let block = 0, at = 0; block < blocks; block++) for (let i = 0; i < size * k; i++) {
        const a = (block * size + low[i]) * stride, b = (block * size + high[i]) * stride;
        const right = weight[i], left = 2 * k - right;
        for (let s = 0; s < stride; s++) out[at++] = from[a + s] * left + from[b + s] * right;
      }
      return out;
    };
    const wide = along(along(along(rgba, 4), 4 * size * k), 4 * (size * k) ** 2);
    const all = 8 * k ** 3, out = new Uint8Array(wide.length);
    for (let i = 0; i < out.length; i++) out[i] = Math.floor((wide[i] + all / 2) / all);
    return out;
  };
})();
