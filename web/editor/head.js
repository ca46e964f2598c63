// The head: a viewer, and sliders for what a drag does too.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const DEGREES = 180 / Math.PI;

  /** The viewer of the page. Fires "pose" when somebody has turned the head. */
  sem2nerf.Head = class Head extends EventTarget {
    constructor(find, { preset, volumePalette }, notices) {
      super();
      Object.assign(this, { find, preset });
      this.viewer = new sem2nerf.Viewer(find("head"), {
        preset,
        onpose: () => this.moved(),
        oncontextlost: () => notices.warn("graphics", "The graphics processor has stopped; the head comes back when it does"),
        oncontextrestored: () => notices.clear("graphics"),
        onframe: frame => this.dispatchEvent(new CustomEvent("frame", { detail: frame })),
      });
      for (const [name, scale, range] of [["yaw", DEGREES, preset.yawRange], ["pitch", DEGREES, preset.pitchRange],
                                          ["fov", 1, preset.fovRange]]) {
        const slider = find(name);
        Object.assign(slider, { min: (range[0] * scale).toFixed(1), max: (range[1] * scale).toFixed(1) });
        slider.addEventListener("input", () => { this.viewer.move({ [name]: slider.value / scale }); });
      }
      find("front").addEventListener("click", () => this.viewer.reset());
      find("volume-labels").hidden = !volumePalette;
      find("volume-labels").addEventListener("click", () => this.toggleLabels());
      this.palette = volumePalette;
      this.moved();
    }

    /** The head, or its labels in their colours, where the model knows them. */
    toggleLabels() {
      if (!this.palette) return;
      const on = this.find("volume-labels").getAttribute("aria-pressed") !== "true";
      this.find("volume-labels").setAttribute("aria-pressed", on);
      this.viewer.showLabels(on, this.palette);
    }

    get pose() { return this.viewer.pose; }

    set pose(pose) {
      this.viewer.pose = pose;
      this.moved();
    }

    /** A volume on the screen; resolves once it has been drawn. A better one follows a draft. */
    show(volume, draft) {
      this.find("wait").hidden = true;
      const drawn = new Promise(resolve => this.addEventListener("frame", resolve, { once: true }));
      this.viewer.show(volume, { draft });
      return drawn;
    }

    moved() {
      const { yaw, pitch, fov } = this.viewer.pose;
      for (const [name, value] of [["yaw", yaw * DEGREES], ["pitch", pitch * DEGREES], ["fov", fov]]) {
        this.find(name).value = value;
        this.find(`${name}-text`).value = `${name === "fov" ? value.toFixed(1) : Math.round(value) || 0}°`;
      }
      this.dispatchEvent(new Event("pose"));
    }
  };
})();
