// PNG files as they are: grey values, palette indices or colours, which no canvas gives back unaltered.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
  const MOST_PIXELS = 89478485;  // as Pillow
  const GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4;
  const SAVE_AS = "save the labels as an 8-bit single-channel PNG";
  const OTHERS = { JPEG: [255, 216, 255], GIF: [71, 73, 70], WEBP: [82, 73, 70, 70], BMP: [66, 77], TIFF: [73, 73, 42, 0],
                   "big-endian TIFF": [77, 77, 0, 42], PPM: [80, 54, 10], PGM: [80, 53, 10] };
  // first row and column, and steps, of the passes of an interlaced file; of any other there is one
  const PASSES = [[0, 0, 8, 8], [0, 4, 8, 8], [4, 0, 8, 4], [0, 2, 4, 4], [2, 0, 4, 2], [0, 1, 2, 2], [1, 0, 2, 1]];

  const CHECKS = new Uint32Array(256).map((_, byte) => {
    for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ byte >>> 1 : byte >>> 1;
    return byte;
  });

  const damaged = why =>
    new Error(`this mask cannot be read (${why}); the file is damaged or is no image, copy or make it again`);
  const begins = (bytes, start) => start.every((byte, i) => bytes[i] === byte);

  function checksum(bytes) {
    let sum = ~0;
    for (const byte of bytes) sum = CHECKS[(sum ^ byte) & 255] ^ sum >>> 8;
    return ~sum >>> 0;
  }

  /** name -> contents of the chunks, those of one name joined. */
  function chunksOf(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), parts = {};
    for (let at = SIGNATURE.length; ;) {
      const length = at + 12 <= bytes.length ? view.getUint32(at) : Infinity;
      if (at + 12 + length > bytes.length) throw damaged("it ends early");
      const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
      if (view.getUint32(at + 8 + length) !== checksum(bytes.subarray(at + 4, at + 8 + length)))
        throw damaged(`its part ${JSON.stringify(name)} has changed`);
      if (name === "IEND") return parts;
      (parts[name] ??= []).push(bytes.subarray(at + 8, at + 8 + length));
      at += 12 + length;
    }
  }

  async function inflated(parts, length) {
    const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
    const out = new Uint8Array(length);
    for (let at = 0; ;) {
      const { done, value } = await reader.read().catch(error => { throw damaged(error.message); });
      if (at < length && value) out.set(value.subarray(0, length - at), at);
      at += value?.length ?? 0;
      if (at >= length) { await reader.cancel(); return out; }
      if (done) throw damaged("it ends early");
    }
  }

  /** Takes the filters off rows of `stride` bytes, in place; each row begins with the number of its filter. */
  function unfilter(bytes, start, rows, stride, unit) {
    for (let y = 0, at = start; y < rows; y++) {
      const filter = bytes[at++];
      if (filter > 4) throw damaged("a row has an unknown filter");
      for (let x = 0; x < stride; x++, at++) {
        const left = x < unit ? 0 : bytes[at - unit], above = y ? bytes[at - stride - 1] : 0;
        const corner = y && x >= unit ? bytes[at - stride - 1 - unit] : 0;
        if (filter === 1) bytes[at] += left;
        else if (filter === 2) bytes[at] += above;
        else if (filter === 3) bytes[at] += left + above >> 1;
        else if (filter === 4) {
          const p = left + above - corner, a = Math.abs(p - left), b = Math.abs(p - above), c = Math.abs(p - corner);
          bytes[at] += a <= b && a <= c ? left : b <= c ? above : corner;
        }
      }
    }
  }

  /**
   * @param {Uint8Array} bytes of a file
   * @returns {Promise<{width, height, pixels: Uint8Array, channels: 1|3, palette: ?Uint8Array}>} pixels [height][width]
   *   [channels]; values of fewer than 8 bits are as they stand in the file
   * @throws {Error} a line for the user
   */
  async function readPng(bytes) {
    if (!begins(bytes, SIGNATURE)) {
      const other = Object.keys(OTHERS).find(name => begins(bytes, OTHERS[name]));
      if (!other) throw damaged("it is no PNG file");
      throw new Error(["JPEG", "GIF", "WEBP"].includes(other)
        ? `this is a ${other} image, and masks are PNG files (a photo is no mask, and lossy formats blur the labels); ${SAVE_AS}`
        : `this is a ${other} image, and this page reads PNG files; ${SAVE_AS}`);
    }
    const { IHDR: [head] = [], PLTE: [palette = null] = [], IDAT: data } = chunksOf(bytes);
    if (head?.length !== 13 || !data) throw damaged("it holds no image");
    const view = new DataView(head.buffer, head.byteOffset), width = view.getUint32(0), height = view.getUint32(4);
    const [bits, kind, , , interlaced] = head.subarray(8);
    if (!width || !height) throw damaged("it holds no pixels");
    if (width * height > MOST_PIXELS) throw new Error("this mask has too many pixels; scale it down, without smoothing");
    if (bits === 16) throw new Error(`this image has 16 bits per channel; ${SAVE_AS}`);
    if (![GREY, RGB, PALETTE].includes(kind)) {
      const mode = kind === GREY_ALPHA ? "LA" : "RGBA";
      throw new Error(`this image is ${mode}, with an alpha channel; ${SAVE_AS}, without transparency`);
    }
    if (![1, 2, 4, 8].includes(bits) || (kind === RGB && bits < 8)) throw damaged("its header is wrong");
    const channels = kind === RGB ? 3 : 1, strideOf = length => Math.ceil(length * channels * bits / 8);
    const passes = (interlaced ? PASSES : [[0, 0, 1, 1]]).map(([top, left, down, right]) => ({
      top, left, down, right, rows: Math.ceil((height - top) / down), columns: Math.ceil((width - left) / right),
    })).filter(({ rows, columns }) => rows > 0 && columns > 0);
    const length = passes.reduce((sum, { rows, columns }) => sum + rows * (1 + strideOf(columns)), 0);
    const raw = await inflated(data, length), pixels = new Uint8Array(width * height * channels);
    const perByte = 8 / bits, mask = 2 ** bits - 1;
    let start = 0;
    for (const { top, left, down, right, rows, columns } of passes) {
      const stride = strideOf(columns);
      unfilter(raw, start, rows, stride, channels);
      for (let y = 0; y < rows; y++, start += stride + 1)
        for (let x = 0; x < columns; x++) for (let c = 0; c < channels; c++) {
          const i = x * channels + c, byte = raw[start + 1 + Math.floor(i / perByte)];
          const to = ((top + y * down) * width + left + x * right) * channels + c;
          pixels[to] = bits === 8 ? byte : byte >> 8 - bits * (1 + i % perByte) & mask;
        }
    }
    return { width, height, pixels, channels, palette: kind === PALETTE ? palette : null };
  }

  sem2nerf.readPng = readPng;
})();
