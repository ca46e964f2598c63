// Labels as an 8-bit grey PNG, which every command of the project reads. (A canvas would write four channels.)
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const TABLE = new Uint32Array(256).map((_, byte) => {
    for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
    return byte;
  });

  function checksum(bytes) {
    let sum = ~0;
    for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
    return ~sum >>> 0;
  }

  function chunk(name, data) {
    const out = new Uint8Array(12 + data.length), view = new DataView(out.buffer);
    view.setUint32(0, data.length);
    out.set(new TextEncoder().encode(name), 4);
    out.set(data, 8);
    view.setUint32(8 + data.length, checksum(out.subarray(4, 8 + data.length)));
    return out;
  }

  /** Bytes through a compressor: `format` is deflate or deflate-raw. */
  sem2nerf.deflate = async (bytes, format = "deflate") =>
    new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream(format))).arrayBuffer());

  /** ... and back. More than `most` bytes are an error, before they are all in memory. */
  sem2nerf.inflate = async (bytes, most, format = "deflate") => {
    const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format)).getReader();
    const parts = [];
    let length = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > most) { await reader.cancel(); throw new Error("more data than expected"); }
      parts.push(value);
    }
    const out = new Uint8Array(length);
    let at = 0;
    for (const part of parts) { out.set(part, at); at += part.length; }
    return out;
  };

  /** The PNG file of a mask. */
  sem2nerf.pngOfLabels = async ({ labels, width, height }) => {
    const rows = new Uint8Array(height * (width + 1));   // each row begins with the number of its filter: none
    for (let y = 0; y < height; y++) rows.set(labels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
    const head = new Uint8Array(13), view = new DataView(head.buffer);
    view.setUint32(0, width);
    view.setUint32(4, height);
    head[8] = 8;
    const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
    return new Blob([signature, chunk("IHDR", head), chunk("IDAT", await sem2nerf.deflate(rows)),
                     chunk("IEND", new Uint8Array(0))], { type: "image/png" });
  };
})();
