"use strict";
// The page of one head.

(() => {
  const { pageBytes, pageImage, pageValue, unpackVolume, wordsOf, Viewer } = globalThis.sem2nerf;
  const element = id => document.getElementById(id), canvas = document.querySelector("canvas");
  const SAVED = 1024;   // pixels of a saved picture

  function trouble(text) {
    element("trouble").textContent = text;
    element("trouble").hidden = !text;
  }

  /** The mask, and the names and colours of its parts: [[name, [red, green, blue]], ...]. */
  function showMask() {
    element("mask").src = pageImage("mask");
    for (const [name, colour] of pageValue("parts")) {
      const item = document.createElement("li");
      item.textContent = wordsOf(name);
      item.style.setProperty("--colour", `rgb(${colour})`);
      element("legend").append(item);
    }
  }

  async function showHead() {
    const viewer = new Viewer(canvas, {
      preset: pageValue("preset"),
      oncontextlost: () => trouble("The graphics processor is busy elsewhere; the head comes back by itself."),
      oncontextrestored: () => trouble(""),
    });
    globalThis.viewer = viewer;
    const coarse = await unpackVolume(pageBytes("coarse"));
    viewer.show(coarse, { draft: true });
    viewer.show(await unpackVolume(pageBytes("fine"), coarse));
    return viewer;
  }

  function connect(viewer) {
    const palette = pageValue("palette"), labels = element("labels");
    labels.hidden = !viewer.hasLabels;
    const act = {
      reset: () => viewer.reset(),
      labels: () => {
        const on = viewer.hasLabels && labels.getAttribute("aria-pressed") === "false";
        labels.setAttribute("aria-pressed", on);
        viewer.showLabels(on, palette);
      },
      save: async () => {
        const picture = await viewer.picture(SAVED), link = document.createElement("a");
        link.href = picture.toDataURL("image/png");
        link.download = `${document.title}.png`;
        link.click();
      },
    };
    for (const [id, run] of Object.entries(act)) element(id).addEventListener("click", run);
    addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      ({ l: act.labels, s: act.save })[event.key.toLowerCase()]?.();
    });
  }

  showMask();
  globalThis.ready = showHead().then(viewer => {
    connect(viewer);
    viewer.greet();
  }).catch(error => trouble(error.message));
})();
