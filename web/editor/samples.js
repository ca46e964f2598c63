// The bundled masks, to begin from.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const SIDE = 96;   // pixels of a small picture

  /** A small picture of a mask in its colours. */
  function thumbnail(canvas, { labels, width, height }, colours) {
    canvas.width = canvas.height = SIDE;
    const context = canvas.getContext("2d"), picture = context.createImageData(SIDE, SIDE);
    for (let y = 0, at = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++, at += 4) {
        const label = labels[Math.floor((y + 0.5) * height / SIDE) * width + Math.floor((x + 0.5) * width / SIDE)];
        picture.data.set([...colours[label], 255], at);
      }
    }
    context.putImageData(picture, 0, 0);
  }

  /** Fills the dialog with the samples of `engine` when it is opened first; `choose(name, mask)` is called with one. */
  sem2nerf.makeSamples = (dialog, list, engine, about, choose, complain) => {
    const colours = about.labels.map(label => label.colour);
    let filled = false;

    async function fill() {
      filled = true;
      for (const name of about.samples) {
        const button = document.createElement("button"), canvas = document.createElement("canvas");
        const words = document.createElement("span");
        words.textContent = name;
        button.type = "button";
        button.append(canvas, words);
        list.append(button);
        let mask = null;
        button.addEventListener("click", async () => {
          dialog.close();
          try { choose(name, mask ?? await engine.sample(name)); } catch (error) { complain(error.message); }
        });
        try {
          mask = await engine.sample(name);
          thumbnail(canvas, mask, colours);
        } catch {
          filled = false;     // the server is gone: once more when the dialog is opened again
          break;
        }
      }
    }

    return async () => {
      dialog.showModal();
      if (filled) return;
      list.replaceChildren();
      await fill();
    };
  };
})();
