"use strict";
// What web/pages.py has put into the page.

(() => {
  const sem2nerf = globalThis.sem2nerf ??= {};

  function content(id) {
    const element = document.getElementById(id);
    if (!element) throw Error(`The page is incomplete: it has no ${id}.`);
    return element.textContent;
  }

  sem2nerf.pageValue = name => JSON.parse(content(`value-${name}`));

  /** The address of an image, for `src`. */
  sem2nerf.pageImage = (name, type = "image/png") => `data:${type};base64,${content(`data-${name}`)}`;

  /** @returns {Uint8Array} */
  sem2nerf.pageBytes = name => {
    const text = atob(content(`data-${name}`)), bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  };
})();
