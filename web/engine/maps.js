// Labels of a mask -> what the encoder reads: merged labels, outlines of the parts, distance to them. The same bytes as
// datasets/masks/maps.py, which calls OpenCV and Pillow; what these do is written out here.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  // OpenCV's distances to a pixel's neighbours, summed in single precision as on processors of Intel's kind: elsewhere it
  // counts in 1/65536, which in a few pixels leads to another byte, one higher or lower
  const STRAIGHT = Math.fround(0.955), DIAGONAL = Math.fround(1.3693);
  // as there: groups of so many pixels take their distance from the pixel before them, but for the first row, the last,
  // where two steps are one sum, and where a row ends
  const STEPS = [1, 2, 3, 4].map(count => Math.fround(STRAIGHT * count));
  const REACH = 2;  // pixels to either side of an outline that OpenCV's thickness of 3 paints

  /** Which pixel of `old` each of `size` pixels is copied from: Pillow adds the scale up, and so rounds ties. */
  function nearest(old, size) {
    const out = new Int32Array(size), scale = old / size;
    for (let i = 0, at = scale * 0.5; i < size; i++, at += scale) out[i] = at < old ? Math.floor(at) : 0;
    return out;
  }

  /** Which of `length` pixels along a side of the mask each pixel of the network's square is copied from. */
  function sources(length, { load_size, crop_size, input_size, crop }) {
    if (!crop) return nearest(length, input_size);
    const start = (load_size - crop_size) / 2, even = start % 1 === 0.5 ? 2 * Math.round(start / 2) : start;
    const loaded = nearest(length, load_size).subarray(even, even + crop_size);
    return nearest(crop_size, input_size).map(i => loaded[i]);
  }

  function copied(image, width, rows, columns) {
    const out = new Uint8Array(rows.length * columns.length);
    for (let y = 0, at = 0; y < rows.length; y++)
      for (let x = 0; x < columns.length; x++, at++) out[at] = image[rows[y] * width + columns[x]];
    return out;
  }

  /** The smallest rectangle around each label but 0: label -> [left, top, right, bottom], all inside. */
  function boxes(labels, width, height) {
    const found = new Map();
    for (let y = 0, at = 0; y < height; y++) for (let x = 0; x < width; x++, at++) {
      const label = labels[at];
      if (!label) continue;
      const box = found.get(label);
      if (!box) found.set(label, [x, y, x, y]);
      else {
        if (x < box[0]) box[0] = x;
        if (x > box[2]) box[2] = x;
        box[3] = y;
      }
    }
    return found;
  }

  /** Outer outlines of every part but the background: 255 on them, else 0 (cv2.findContours, drawn 3 wide). */
  function outlines(labels, width, height) {
    const out = new Uint8Array(width * height);
    for (const [part, [left, top, right, bottom]] of boxes(labels, width, height)) {
      // from outside, flood what is not this part; where it meets the part is an outline
      const w = right - left + 3, h = bottom - top + 3, seen = new Uint8Array(w * h), stack = new Int32Array(w * h);
      const corner = (top - 1) * width + left - 1;
      let filled = 1;
      seen[0] = 1;
      const visit = (x, y) => {
        if (x < 0 || y < 0 || x >= w || y >= h || seen[y * w + x]) return;
        seen[y * w + x] = 1;
        const inside = x > 0 && y > 0 && x < w - 1 && y < h - 1;
        if (inside && labels[corner + y * width + x] === part) dab(left - 1 + x, top - 1 + y);
        else stack[filled++] = y * w + x;
      };
      const dab = (x0, y0) => {
        for (let y = Math.max(y0 - REACH, 0); y <= Math.min(y0 + REACH, height - 1); y++) {
          const reach = REACH - Math.abs(y - y0);
          out.fill(255, y * width + Math.max(x0 - reach, 0), y * width + Math.min(x0 + reach, width - 1) + 1);
        }
      };
      while (filled) {
        const at = stack[--filled], x = at % w, y = (at - x) / w;
        visit(x - 1, y); visit(x + 1, y); visit(x, y - 1); visit(x, y + 1);
      }
    }
    return out;
  }

  /** Distance of every pixel to the nearest outline, stretched to 0..255; null without outlines. */
  function distances(contour, width, height) {
    const W = width + 2, d = new Float32Array(W * (height + 2)).fill(Infinity);
    for (let y = 0, from = 0; y < height; y++) {
      let inside = Infinity, before = Infinity;  // distance along the present group, and of the pixel before it
      for (let x = 0, at = (y + 1) * W + 1; x < width; x++, at++, from++) {
        const above = contour[from] ? 0 : Math.min(d[at - W] + STRAIGHT, d[at - W - 1] + DIAGONAL, d[at - W + 1] + DIAGONAL);
        const lane = x % STEPS.length, grouped = y > 0 && y < height - 1 && x - lane + STEPS.length < width;
        if (lane === 0) before = d[at - 1];
        inside = Math.fround(lane ? Math.min(above, inside + STRAIGHT) : above);
        d[at] = Math.min(above, grouped ? Math.min(inside, before + STEPS[lane]) : d[at - 1] + STRAIGHT);
        if (y === height - 1 && x > 1) d[at] = Math.min(d[at], d[at - 2] + STEPS[1]);
      }
    }
    let most = 0;
    for (let y = height; y >= 1; y--) for (let x = width, at = y * W + width; x >= 1; x--, at--) {
      d[at] = Math.min(d[at], d[at + 1] + STRAIGHT, d[at + W] + STRAIGHT, d[at + W + 1] + DIAGONAL,
                       d[at + W - 1] + DIAGONAL);
      if (d[at] > most) most = d[at];
    }
    if (most === Infinity) return null;
    const out = new Uint8Array(width * height), scale = Math.fround(most ? 1 / most : 0);
    for (let y = 0, to = 0; y < height; y++) for (let x = 0, at = (y + 1) * W + 1; x < width; x++, at++, to++)
      out[to] = Math.fround(Math.fround(d[at] * scale) * 255);
    return out;
  }

  /**
   * The planes of the network's square.
   *
   * @param input the model's `input`: merge, useContour, transform, maskSize
   * @returns {{label: Uint8Array, contour: ?Uint8Array, distance: ?Uint8Array, size: number}} distance is null where the
   *   mask has no outlines, and both are for a network that does not read them
   */
  function prepare(labels, width, height, input) {
    const merged = input.merge ? labels.map(label => input.merge[label]) : labels;
    const square = (image, w, h) => copied(image, w, sources(h, input.transform), sources(w, input.transform));
    const planes = { label: square(merged, width, height), contour: null, distance: null, size: input.transform.input_size };
    if (!input.useContour) return planes;
    const side = input.maskSize, same = width === side && height === side;
    const contour = outlines(same ? merged : copied(merged, width, nearest(height, side), nearest(width, side)), side, side);
    const distance = distances(contour, side, side);
    planes.contour = square(contour, side, side);
    planes.distance = distance && square(distance, side, side);
    return planes;
  }

  Object.assign(sem2nerf, { maps: { nearest, sources, outlines, distances, prepare } });
})();
