// The whole state as text: for the address, so that a link reproduces it, and for the browser's own store.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});
  const { deflate, inflate } = sem2nerf;

  const LONGEST_SIDE = 1024;
  const STORE = "sem2nerf-editor:";

  const toText = bytes => {
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  };
  const toBytes = text => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), c => c.charCodeAt(0));

  /** What a row adds to the one above: mostly zeros, which deflate to almost nothing. Its own inverse needs `back`. */
  function byRows(labels, width, back) {
    const out = labels.slice(), from = back ? out : labels;
    for (let i = width; i < labels.length; i++) out[i] = labels[i] ^ from[i - width];
    return out;
  }

  /** "512.512.<labels>" */
  sem2nerf.textOfMask = async ({ labels, width, height }) =>
    `${width}.${height}.${toText(await deflate(byRows(labels, width), "deflate-raw"))}`;

  /** The mask of such a text. Throws where it is none, or has labels that are not in the table. */
  sem2nerf.maskOfText = async (text, labelCount) => {
    const [, width, height, data] = /^(\d{1,4})\.(\d{1,4})\.([\w-]+)$/.exec(text) ?? [];
    if (!(width >= 1 && width <= LONGEST_SIDE && height >= 1 && height <= LONGEST_SIDE)) throw new Error("this link holds no mask");
    const packed = await inflate(toBytes(data), width * height, "deflate-raw").catch(() => []);
    if (packed.length !== width * height) throw new Error("this link's mask is damaged or cut short");
    const labels = byRows(packed, +width, true);
    if (labels.some(label => label >= labelCount)) throw new Error("this link's mask has labels that these weights do not know");
    return { labels, width: +width, height: +height };
  };

  const bytesOf = text => { try { return text && /^[\w-]+$/.test(text) ? toBytes(text) : null; } catch { return null; } };

  const finite = (text, low, high) => {
    const value = Number(text);
    return text !== null && text !== "" && Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : undefined;
  };

  /** {mask, space, name, style: {seed, layers}, pose: {yaw, pitch, fov}, and, if there are such, edit and style.codes
   *  (bytes) and decoder, whose codes these are} -> text behind the # of an address. */
  sem2nerf.textOfState = ({ maskText, sample, space, style, pose, edit, decoder }) => {
    const query = new URLSearchParams({ space });
    if (sample) query.set("sample", sample);
    else query.set("mask", maskText);
    if (style.layers.length) { query.set("seed", style.seed); query.set("layers", style.layers.join(".")); }
    if (style.codes) query.set("colours", toText(style.codes));
    for (const name of ["yaw", "pitch", "fov"]) query.set(name, pose[name].toFixed(name === "fov" ? 2 : 3));
    if (edit || style.codes) query.set("decoder", decoder);
    if (edit) query.set("edit", toText(edit));
    return query.toString();
  };

  /** ... and back. What is missing or wrong is left out; ranges are checked by those who use it. */
  sem2nerf.stateOfText = text => {
    const query = new URLSearchParams(text.replace(/^#/, ""));
    const layers = (query.get("layers") ?? "").split(".").filter(part => /^\d$/.test(part)).map(Number);
    return {
      edit: bytesOf(query.get("edit")), decoder: query.get("decoder"), space: query.get("space"), sample: query.get("sample"), maskText: query.get("mask"),
      style: { seed: Math.round(finite(query.get("seed"), 0, 2 ** 31 - 1) ?? 0), layers: [...new Set(layers)].sort(),
        codes: bytesOf(query.get("colours")) },
      pose: { yaw: finite(query.get("yaw"), -4, 4), pitch: finite(query.get("pitch"), -4, 4), fov: finite(query.get("fov"), 0.1, 120) },
    };
  };

  // A page that may store nothing (a private window, a full disk) works without.
  sem2nerf.storedState = space => { try { return localStorage.getItem(STORE + space); } catch { return null; } };
  sem2nerf.storeState = (space, text) => { try { localStorage.setItem(STORE + space, text); } catch { /* see above */ } };
})();
