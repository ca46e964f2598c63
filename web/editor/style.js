// The style: colours (or more) of a random head, by the number it is drawn from.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const MOST_SEED = 2 ** 31 - 1;
  const USUAL = [6, 7, 8];    // of these layers are the colours
  const WAIT = 60;            // milliseconds without a further change, until heads are made

  /** Fires "change" when another style is wanted. `value` is {seed, layers}; without layers, the mask's own. */
  sem2nerf.Style = class Style extends EventTarget {
    constructor(find, layerCount) {
      super();
      Object.assign(this, { find, on: false, seed: 92, layers: new Set(USUAL.filter(layer => layer < layerCount)) });
      this.buttons = Array.from({ length: layerCount }, (_, layer) => {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", textContent: layer });
        button.title = `Layer ${layer} of 0 (coarse shape) to ${layerCount - 1} (colour)`;
        button.setAttribute("aria-label", `Layer ${layer}`);
        button.addEventListener("click", () => { this.layers.delete(layer) || this.layers.add(layer); this.on = this.layers.size > 0; this.changed(); });
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
        this.seed = Math.round(+event.target.value);
        this.on = this.layers.size > 0;
        this.changed(false);
      });
      find("seed").addEventListener("change", () => this.show());
      find("dice").addEventListener("click", () => {
        this.seed = Math.floor(Math.random() * 1000);
        this.on = true;
        this.changed();
      });
      this.show();
    }

    get value() { return { seed: this.seed, layers: this.on ? [...this.layers].sort((a, b) => a - b) : [] }; }

    set value({ seed, layers }) {
      const known = layers.filter(layer => layer < this.buttons.length);
      this.on = known.length > 0;
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

    press() {
      this.find("styled").setAttribute("aria-pressed", this.on);
      this.buttons.forEach((button, layer) => button.setAttribute("aria-pressed", this.on && this.layers.has(layer)));
    }
  };
})();
