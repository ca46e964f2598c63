// Files to keep: what the page can make by itself, and what the engine offers.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const PICTURE = 512;   // pixels
  const CHOICES = [
    { kind: "mask", words: "Mask", more: "what is on the sheet: label numbers, 8-bit PNG, which every command of the project reads", own: true },
    { kind: "picture", words: "Picture", more: "the view as you see it, PNG", own: true },
    { kind: "view", words: "Exact view", more: "the same view, rendered from the field at the size above" },
    { kind: "map", words: "Map of this view", more: "which part is where, as seen from here: label numbers, PNG" },
    { kind: "row", words: "Five views", more: "the mask and the head from five sides, PNG" },
    { kind: "video", words: "Video", more: "the head turning, MP4" },
    { kind: "viewer", words: "3D page", more: "one HTML file that turns in any browser, to send to a friend" },
    { kind: "mesh", words: "Mesh", more: "the surface, for other 3D programs" },
  ];

  sem2nerf.download = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };

  /** The dialog of what can be saved. `state()` gives {labels, width, height, style, pose}. */
  sem2nerf.Saves = class Saves {
    constructor({ find, engine, about, head, mask, state, notices }) {
      Object.assign(this, { find, engine, head, mask, state, notices, running: null });
      this.dialog = find("save");
      find("save-open").addEventListener("click", () => this.dialog.showModal());
      this.dialog.addEventListener("close", () => this.running?.abort());
      const offered = new Set(about.saves ?? []);
      find("save-size-line").hidden = !["view", "map", "row", "video"].some(kind => offered.has(kind));
      for (const choice of CHOICES) if (choice.own || offered.has(choice.kind)) find("save-list").append(this.button(choice));
    }

    set name(name) { this.find("save-name").value = name; }
    get name() { return this.find("save-name").value.trim().replace(/[\\/:*?"<>|\x00-\x1f]/g, "_") || "head"; }

    button({ kind, words, more, own }) {
      const button = document.createElement("button"), strong = document.createElement("b"), small = document.createElement("small");
      const bar = document.createElement("progress");
      Object.assign(button, { type: "button" });
      button.dataset.save = kind;
      strong.textContent = words;
      small.textContent = more;
      Object.assign(bar, { max: 1, hidden: true });
      bar.setAttribute("aria-label", `${words}: how far it is`);
      button.append(strong, small, bar);
      button.addEventListener("click", () => (own ? this.saveOwn(kind) : this.saveOffered(kind, button, bar)));
      return button;
    }

    async saveOwn(kind) {
      if (kind === "mask") sem2nerf.download(await sem2nerf.pngOfLabels(this.mask), `${this.name}.png`);
      else if (!this.head.viewer.volume) this.notices.warn("save", "There is no head to save yet");
      else {
        const canvas = await this.head.viewer.picture(PICTURE);
        canvas.toBlob(blob => sem2nerf.download(blob, `${this.name}_head.png`));
      }
    }

    /** The engine makes the file; a second click on the button, or closing the dialog, gives up on it. */
    async saveOffered(kind, button, bar) {
      if (this.running) {
        const same = this.running.kind === kind;
        this.running.abort();
        if (same) return;
      }
      const running = this.running = Object.assign(new AbortController(), { kind });
      this.notices.clear("save");
      bar.hidden = false;
      bar.removeAttribute("value");
      button.classList.add("busy");
      try {
        const options = { size: +this.find("save-size").value, signal: running.signal, onProgress: part => { bar.value = part; } };
        const { blob, suffix } = await this.engine.save(kind, this.state(), options);
        sem2nerf.download(blob, `${this.name}_${kind}.${suffix}`);
      } catch (error) {
        if (!running.signal.aborted) this.notices.error("save", `The file could not be made: ${error.message}`);
      } finally {
        bar.hidden = true;
        button.classList.remove("busy");
        if (this.running === running) this.running = null;
      }
    }
  };
})();
