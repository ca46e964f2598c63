// A label map as a mask file: what the model's camera sees is the middle of what a mask shows. See `MaskTransform.whole`
// in datasets/masks/maps.py and `read_seen` in mask_input.py.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  /** For each of `size` pixels along a side of a mask, which of `seen` pixels of the map is there, or is the nearest. */
  function whole(seen, size, { load_size, crop_size, crop }) {
    const cut = crop ? size * crop_size / load_size : size;
    return Int32Array.from({ length: size }, (_, i) => {
      const place = Math.floor((i + 0.5 - (size - cut) / 2) / cut * seen);
      return Math.min(Math.max(place, 0), seen - 1);
    });
  }

  /**
   * The planes of a label map of `size` x `size` pixels, in labels of mask files, see maps.js.
   * @throws {Error} all of it is background
   */
  function prepareSeen(labels, size, input) {
    const merged = input.merge ? labels.map(label => input.merge[label]) : labels;
    if (!merged.some(Boolean))
      throw new Error("the label map is empty (every pixel is background); leave a head in it");
    const side = input.maskSize, places = whole(size, side, input.transform), mask = new Uint8Array(side * side);
    for (let y = 0, to = 0; y < side; y++) for (let x = 0; x < side; x++, to++) mask[to] = merged[places[y] * size + places[x]];
    return sem2nerf.maps.prepare(mask, side, side, { ...input, merge: null });
  }

  sem2nerf.framing = { whole, prepareSeen };
})();
