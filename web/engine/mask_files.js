// Mask file -> labels, with an error that helps for everything that is no mask: datasets/masks/files.py and colours.py in
// the browser. `input` is the model's.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const PHOTO_COLOURS = 256, MOST_LABELS = 64, VOID = 255;
  const LONGEST_SIDE = 1024;  // pixels of a mask that is painted; larger files are scaled down, without smoothing
  const SAVE_AS = "save label numbers in a single-channel PNG";

  const pack = (bytes, at) => bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2];
  const unpacked = colour => `(${colour >> 16}, ${colour >> 8 & 255}, ${colour & 255})`;
  const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}%`;

  /** Which of 256 values occur. */
  function valuesOf(values) {
    const seen = new Uint8Array(256);
    for (const value of values) seen[value] = 1;
    return Array.from(seen.keys()).filter(value => seen[value]);
  }

  /** Colour -> label, of colours that are not in the table twice the last; and which are ambiguous. */
  function tableOf({ palette }) {
    const table = new Map(palette.map((colour, label) => [pack(colour, 0), label])), users = new Map();
    palette.forEach((colour, label) => users.set(pack(colour, 0), [...users.get(pack(colour, 0)) ?? [], label]));
    return { table, ambiguous: new Map([...users].filter(([, labels]) => labels.length > 1)) };
  }

  /** Labels of colours [n]. */
  function labelsOfColours(colours, width, input, exchanged) {
    const { table, ambiguous } = tableOf(input), found = new Set(colours), unknown = [...found].filter(c => !table.has(c));
    if (found.size > PHOTO_COLOURS)
      throw new Error(`${found.size} colours, as a photo has, or a painted mask whose edges were smoothed; give label `
        + `numbers in a single-channel PNG, or the colours of ${input.space} alone`);
    if (unknown.length && exchanged && [...new Set(exchanged)].every(colour => table.has(colour)))
      throw new Error(`its colours are those of ${input.space} with red and blue exchanged, as OpenCV stores them; save it `
        + "again with the two exchanged (cv2.cvtColor(mask, cv2.COLOR_BGR2RGB))");
    if (unknown.length) {
      const first = Math.min(...unknown), at = colours.indexOf(first);
      throw new Error(`the colour ${unpacked(first)} at x=${at % width}, y=${Math.floor(at / width)} is not in the table of `
        + `${input.space} (${unknown.length} of ${found.size} colours are not); repaint without smoothing or blending, or `
        + SAVE_AS);
    }
    for (const [colour, labels] of ambiguous) if (found.has(colour)) {
      const names = labels.map(label => `${label} (${input.labels[label]})`).join(" and ");
      throw new Error(`the colour ${unpacked(colour)} is ambiguous, ${input.space} paints labels ${names} alike, so the mask `
        + `cannot be decoded; ${SAVE_AS}`);
    }
    return Uint8Array.from(colours, colour => table.get(colour));
  }

  /** Labels of palette indices whose palette is the table's, but sorted otherwise; null: the indices are the labels. */
  function labelsOfPalette(pixels, width, palette, input) {
    const used = valuesOf(pixels), size = palette.length / 3, { table } = tableOf(input);
    if (used.at(-1) >= size) return null;
    const colours = used.map(index => pack(palette, 3 * index));
    const same = (index, i) => index < input.palette.length && pack(input.palette[index], 0) === colours[i];
    if (used.every(same) || colours.length < 2 || new Set(colours).size < colours.length) return null;
    if (!colours.every(colour => table.has(colour))) return null;
    return labelsOfColours(Uint32Array.from(pixels, index => pack(palette, 3 * index)), width, input, null);
  }

  /** Whether hair lies above a face only with red and blue exchanged. */
  function looksExchanged(labels, exchanged, width, input) {
    if (sem2nerf.oddities.hairOnTop(labels, width, input)) return false;
    const { table } = tableOf(input);
    if (![...new Set(exchanged)].every(colour => table.has(colour))) return false;
    return sem2nerf.oddities.hairOnTop(Uint8Array.from(exchanged, colour => table.get(colour)), width, input);
  }

  function outOfRange(found, order, table, input) {
    const what = found.length > MOST_LABELS ? `${found.length} grey values, as in a photo`
      : `labels out of range (${found.filter(value => value >= table.length).slice(0, 5).join(", ")})`;
    return order === "celebamask"
      ? `${what}; ${input.space} masks have labels 0 to ${table.length - 1}: give a mask of this data set, not a photo, a `
        + "part of a mask or another data set's (the label order reads those of some others)"
      : `${what}; the label order as given has values 0 to ${table.length - 1} only: give the order of this file`;
  }

  /** Larger masks -> LONGEST_SIDE pixels, without smoothing. */
  function scaledDown({ labels, width, height }, warnings) {
    const longest = Math.max(width, height);
    if (longest <= LONGEST_SIDE) return { labels, width, height };
    const line = length => {
      const count = Math.max(1, Math.round(length * LONGEST_SIDE / longest));
      return Array.from({ length: count }, (_, i) => count > 1 ? Math.round(i * (length - 1) / (count - 1)) : 0);
    };
    const rows = line(height), columns = line(width), out = new Uint8Array(rows.length * columns.length);
    rows.forEach((y, to) => columns.forEach((x, i) => { out[to * columns.length + i] = labels[y * width + x]; }));
    warnings.push(`its ${width} x ${height} pixels were scaled down to ${columns.length} x ${rows.length}`);
    return { labels: out, width: columns.length, height: rows.length };
  }

  /**
   * @param {Uint8Array} bytes of a PNG file
   * @param {{order: string, encoding: "auto"|"index"|"colour"}} options how the file numbers the parts; '' for the
   *   model's own way
   * @returns {Promise<{labels: Uint8Array, width, height, warnings: string[]}>}
   * @throws {Error} a line for the user: the file is no mask of this label space
   */
  async function readMask(bytes, input, { order = "", encoding = "auto" } = {}) {
    const name = order || Object.keys(input.orders)[0], table = input.orders[name], warnings = [];
    if (!table) throw new Error(`the label order ${name} is not known here`);
    const { width, height, pixels, channels, palette } = await sem2nerf.readPng(bytes), count = width * height;
    let values = pixels, rgb = channels === 3;
    if (rgb && encoding !== "colour" && values.every((value, i) => value === values[i - i % 3])) {
      values = values.filter((_, i) => i % 3 === 0);  // a single-channel mask that an editor saved as RGB
      rgb = false;
    }
    if (rgb && encoding === "index")
      throw new Error("an RGB image holds colours, not label numbers; choose another encoding, or save the labels as an "
        + "8-bit single-channel PNG");
    if (rgb) {
      const colours = Uint32Array.from({ length: count }, (_, i) => pack(pixels, 3 * i));
      const exchanged = colours.map(colour => (colour & 255) << 16 | colour & 0xff00 | colour >> 16);
      values = labelsOfColours(colours, width, input, exchanged);
      if (looksExchanged(values, exchanged, width, input))
        warnings.push("the hair lies above the skin only if red and blue are exchanged, as OpenCV stores them; if so, save "
          + "the mask with the two exchanged");
    } else if (encoding === "colour") {
      if (!palette) throw new Error("a single-channel mask has no colours; choose another encoding");
      const most = valuesOf(values).at(-1);
      if (most >= palette.length / 3)
        throw new Error(`its palette has ${palette.length / 3} colours, but a pixel uses number ${most}; save the mask again`);
      values = labelsOfColours(Uint32Array.from(values, index => pack(palette, 3 * index)), width, input, null);
    } else if (encoding === "auto" && palette) values = labelsOfPalette(values, width, palette, input) ?? values;
    const found = valuesOf(values);
    if (found.at(-1) === VOID && found.length > 2 && found.at(-2) < table.length) {
      const share = values.reduce((sum, value) => sum + (value === VOID), 0) / count;
      values = values.map(value => value === VOID ? 0 : value);
      warnings.push(`value ${VOID} on ${percent(share, 1)} of its pixels is read as background; where it stands for parts of `
        + "the head that nobody has labelled, labels belong there");
    } else if (found.at(-1) >= table.length) {
      const smoothed = found.length <= MOST_LABELS && sem2nerf.oddities.smoothing(values, width, input);
      throw new Error(smoothed || outOfRange(found, name, table, input));
    }
    warnings.push(...[sem2nerf.oddities.order(values, width, name, input), sem2nerf.oddities.smoothing(values, width, input)]
      .filter(Boolean));
    const mask = scaledDown({ labels: values.map(value => table[value]), width, height }, warnings);
    const shape = sem2nerf.oddities.shape(mask.labels, mask.width, input);
    return { ...mask, warnings: shape ? [...warnings, shape] : warnings };
  }

  sem2nerf.readMask = readMask;
})();
