// The style: colours (or more) of a random head, by the number it is drawn from, or those of a picture.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const MOST_SEED = 2 ** 31 - 1;
  const USUAL = [6, 7, 8];    // of these layers are the colours
  const WAIT = 60;            // milliseconds without a further change, until heads are made

  /** Fires "change" when another style is wanted. `value` is {seed, layers, codes?}; without layers, the
   *  mask's own. */
  sem2nerf.Style = class Style extends EventTarget {
    constructor(find, layerCount) {
      super();
      Object.assign(this, { find, on: false, picture: null, seed: 92, layers: new Set(USUAL.filter(layer => layer < layerCount)) });
      this.buttons = Array.from({ length: layerCount }, (_, layer) => {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", textContent: layer });
        button.title = `Layer ${layer} of 0 (coarse shape) to ${layerCount - 1} (colour)`;
        button.setAttribute("aria-label", `Layer ${layer}`);
        button.addEventListener("click", () => { this.picture = null; this.layers.delete(layer) || this.layers.add(layer); this.on = this.layers.size > 0; this.changed(); });
        find("layers").append(button);
        return button;
      });
      find("styled").addEventListener("click", () => {
        this.on = !this.on;
        if (this.on && !this.layers.size) this.layers = new Set(USUAL.filter(layer => layer < layerCount));
        this.changed();
      });
      find("seed").addEventListener("input", event => {
        if (!event.target.checkValidity() || event.target.value === "") return;
        this.picture = null;
        this.seed = Math.round(+event.target.value);
        this.on = this.layers.size > 0;
        this.changed(false);
      });
      find("seed").addEventListener("change", () => this.show());
      find("dice").addEventListener("click", () => {
        this.picture = null;
        this.seed = Math.floor(Math.random() * 1000);
        this.on = true;
        this.changed();
      });
      find("picture-away").addEventListener("click", () => {
        this.picture = null;
        this.on = false;
        this.changed();
        find("colours-open").focus();
      });
      this.show();
    }

    get value() {
      const { seed, picture } = this;
      if (picture && this.on) return { seed, layers: picture.layers, codes: picture.codes };
      return { seed, layers: this.on ? [...this.layers].sort((a, b) => a - b) : [] };
    }

    set value({ seed, layers, codes = null, name = "a picture" }) {
      const known = layers.filter(layer => layer < this.buttons.length);
      this.on = known.length > 0;
      this.picture = codes && this.on ? { layers: known, codes, name } : null;
      if (this.picture) { this.show(); return; }
      if (this.on) Object.assign(this, { seed: Math.min(MOST_SEED, seed), layers: new Set(known) });
      this.show();
    }

    changed(all = true) {
      if (all) this.show();
      else this.press();
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.dispatchEvent(new Event("change")), WAIT);
    }

    show() {
      this.find("seed").value = this.seed;
      this.press();
    }

    /** The colours of a picture from now on. */
    take(picture) {
      Object.assign(this, { picture, on: true });
      this.changed();
    }

    press() {
      const { picture, find } = this;
      find("picture-away").hidden = !picture;
      find("picture-away").textContent = picture ? `${picture.name} ×` : "";
      find("picture-away").setAttribute("aria-label", `Without the colours of ${picture?.name}`);
      this.find("styled").setAttribute("aria-pressed", this.on);
      this.buttons.forEach((button, layer) => button.setAttribute("aria-pressed", this.on && (picture ? picture.layers.includes(layer) : this.layers.has(layer))));
    }
  };
})();
