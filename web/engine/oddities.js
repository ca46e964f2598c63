// What is odd about a mask: a sentence for its owner, or null. datasets/masks/oddities.py, order.py and the checks of
// files.py in the browser; their numbers are in the model's `input.checks`.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}%`;
  const among = labels => Array.from(new Set(labels)).sort((a, b) => a - b).filter(Boolean);

  /**
   * Refuse a mask without a head, all of it or in what the network sees.
   * @throws {Error} all is background, or the face covers hardly anything
   */
  function checkFace(labels, planes, { labels: names, face, networkNames, networkFace, checks }) {
    refuseFaceless(labels, names, face, checks, "");
    refuseFaceless(planes.label, networkNames, networkFace, checks, " in the part that the network sees");
  }

  function refuseFaceless(labels, names, face, { minFace }, where) {
    if (!labels.some(Boolean))
      throw new Error(`the mask is empty${where} (every pixel is background); paint the parts of a `
        + `${names[face] === "head" ? "cat" : "face"} into it`);
    const share = labels.reduce((sum, value) => sum + (value === face), 0) / labels.length;
    if (share < minFace)
      throw new Error(`the mask shows no face${where} (label ${face}, ${names[face]}, is less than ${percent(minFace)} of it; `
        + `found: ${among(labels).map(value => names[value]).join(", ")}); choose a mask with one, and check the label order `
        + "and the kind of head");
  }

  /** A mask that is not square, or that has a single part. */
  function shape(labels, width, { labels: names, checks }) {
    const height = labels.length / width;
    if (Math.max(height, width) > checks.squareEnough * Math.min(height, width))
      return `${width} x ${height} pixels are squeezed into a square; cut out a square around the head`;
    const parts = among(labels);
    return parts.length !== 1 ? null : `the only part besides the background is ${names[parts[0]]}; an outline of something is `
      + "no label map, and its image means little";
  }

  /** A label map that was scaled as a photograph is: along edges stand the labels between the two parts'. */
  function smoothing(values, width, { checks: { fewestEdges, between: enough } }) {
    const height = values.length / width, inside = new Uint8Array(values.length), edge = new Uint8Array(values.length);
    for (const [step, place, length] of [[1, at => at % width, width], [width, at => Math.floor(at / width), height]])
      for (let at = 0; at < values.length; at++) {
        const i = place(at);
        if (i < 1) continue;
        const before = values[at - step], here = values[at];
        if (before !== here) edge[at] = 1;
        if (i > length - 2) continue;
        const after = values[at + step];
        if ((before < here && here < after) || (before > here && here > after)) inside[at] = 1;
      }
    const count = flags => flags.reduce((sum, flag) => sum + flag, 0), edges = count(edge), between = count(inside);
    if (edges < fewestEdges || between < enough * edges) return null;
    return `${percent(between / values.length, 1)} of its pixels, along the edges of parts, hold labels between those of their `
      + "neighbours, as after scaling with smoothing; scale label maps with nearest-neighbour only";
  }

  /** A head that is small, or lies beside its usual place, in the network's square. */
  function framing({ label, size }, { networkNames, networkFace, checks }) {
    const { parts, least, most, centre, far } = checks.framing, head = networkNames.map(name => parts.includes(name));
    let count = 0, rows = 0, columns = 0;
    label.forEach((value, at) => {
      if (head[value]) { count++; rows += Math.floor(at / size); columns += at % size; }
    });
    const area = count / label.length;
    let what = null;
    if (area < least || area > most)
      what = `covers ${percent(area)} of what the network sees, where ${percent(least)} to ${percent(most)} are usual`;
    else {
      const off = [[rows / count / size - centre[0], "up", "down"], [columns / count / size - centre[1], "to the left", "to the right"]]
        .filter(([by]) => Math.abs(by) > far).map(([by, less, more]) => `${percent(Math.abs(by))} too far ${by > 0 ? more : less}`);
      if (off.length) what = `lies ${off.join(" and ")}`;
    }
    return what && `the ${networkNames[networkFace] === "head" ? "head" : "face"} ${what}; move and scale the mask so that it lies `
      + "as in the data set (docs/label_spaces.md)";
  }

  /** Value -> {area, row, column} of the values that occur; places and areas in parts of the image. */
  function placesOf(values, width) {
    const height = values.length / width, step = Math.max(1, Math.floor(Math.min(width, height) / 256)), found = new Map();
    let rows = 0, columns = 0;
    for (let y = step >> 1; y < height; y += step, rows++) {
      columns = 0;
      for (let x = step >> 1; x < width; x += step, columns++) {
        const value = values[y * width + x], sums = found.get(value) ?? [0, 0, 0];
        sums[0]++; sums[1] += rows; sums[2] += columns;
        found.set(value, sums);
      }
    }
    for (const [value, [area, down, right]] of found)
      found.set(value, { area, row: down / area / rows, column: right / area / columns });
    return found;
  }

  const TURNS = {
    "": part => part,
    "upside down": part => ({ ...part, row: 1 - part.row }),
    "turned a quarter to the left": part => ({ ...part, row: part.column, column: part.row }),
    "turned a quarter to the right": part => ({ ...part, row: 1 - part.column, column: part.row }),
  };

  /** Part of the relations in view that hold when values are read by `table`; null: too few are in view. */
  function fit(found, table, turn, { labels, checks: { order } }) {
    const parts = {};
    for (const [value, place] of found) {
      if (value >= table.length) return null;
      const name = labels[table[value]], { area, row, column } = TURNS[turn](place);
      const all = parts[name] ??= { area: 0, row: 0, column: 0 };
      all.area += area; all.row += row * area; all.column += column * area;
    }
    for (const all of Object.values(parts)) { all.row /= all.area; all.column /= all.area; }
    const seen = pairs => pairs.filter(([one, other]) => parts[one] && parts[other])
      .map(([one, other, factor]) => [parts[one], parts[other], factor]);
    const holds = seen(order.above).map(([one, other]) => one.row < other.row);
    if (holds.length < order.fewest) return null;
    holds.push(...seen(order.larger).map(([one, other, factor]) => one.area > factor * other.area));
    holds.push(...seen(order.level).map(([a, b]) => Math.abs(a.row - b.row) < Math.abs(a.column - b.column)));
    const { nose } = parts;
    if (nose) holds.push(...seen(order.outside)
      .map(([one, other]) => Math.abs(one.column - nose.column) > Math.abs(other.column - nose.column)));
    return holds.filter(Boolean).length / holds.length;
  }

  /** Parts that do not lie as on an upright head; `values` as they stand in the file, about to be read as `name` says. */
  function order(values, width, name, input) {
    const rules = input.checks.order;
    if (!rules) return null;
    const found = placesOf(values, width), mine = fit(found, input.orders[name], "", input) ?? null;
    const called = rules.named.includes(name) ? name : "the given", orders = { [name]: input.orders[name], ...rules.known };
    let best = [-1, "", ""];
    for (const [other, table] of Object.entries(orders)) for (const turn of other === name ? Object.keys(TURNS) : [""]) {
      const here = fit(found, table, turn, input) ?? 0;
      if (here > best[0]) best = [here, other, turn];
    }
    const [fits, other, turn] = best, known = mine === null ? "nothing" : percent(mine);
    if (fits >= rules.fits && fits - (mine ?? 0) >= rules.clear)
      return turn
        ? `the parts lie as if the head were ${turn} (${percent(fits)} of them as on a head, against ${known} as it is); turn `
          + "the mask, if so"
        : `the parts lie as if the labels were in ${other} order (${percent(fits)} of them as on a head, against ${known} in `
          + `${called} order); if so, use the label order ${other}`;
    if (mine !== null && mine < rules.doubtful)
      return `the parts do not lie as on a head (${percent(mine)} of them do) in ${called} order, nor in any other that is known `
        + `(${Object.keys(orders).filter(one => one !== name).join(", ")}); look up how its maker numbers the parts: the label `
        + "order takes a list of them, or a file";
    return null;
  }

  /** Whether a face mask has both skin and hair, and the hair reaches higher. */
  function hairOnTop(labels, width, { labels: names }) {
    const top = name => { const at = labels.indexOf(names.indexOf(name)); return at < 0 ? null : Math.floor(at / width); };
    const hair = top("hair"), skin = top("skin");
    return hair !== null && skin !== null && hair < skin;
  }

  /** All that is odd about a painted mask, as MaskInput.labels and .prepare warn. */
  function all(labels, width, planes, input) {
    const upright = order(labels, width, "celebamask", input);
    const found = [upright, smoothing(labels, width, input), shape(labels, width, input)];
    if (upright === null) found.push(framing(planes, input));
    return found.filter(Boolean);
  }

  sem2nerf.oddities = { checkFace, shape, smoothing, framing, order, hairOnTop, all };
})();
