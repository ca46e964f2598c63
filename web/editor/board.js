// The painted mask on the screen: colours, a photograph below, zoom and place. Whoever paints is in tools.js.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const MOST_ZOOM = 16;

  /** Shows `mask` in `root` (see the .board of the page). `colours[label]` is [red, green, blue]. */
  sem2nerf.Board = class Board extends EventTarget {
    constructor(root, mask, colours) {
      super();
      Object.assign(this, { root, mask, zoom: 1, x: 0, y: 0 });
      this.sheet = root.querySelector(".sheet");
      this.canvas = root.querySelector("canvas.labels");
      this.photo = root.querySelector("canvas.photo");
      this.ring = root.querySelector(".ring");
      this.context = this.canvas.getContext("2d");
      this.colours = new Uint32Array(256);
      const word = new DataView(this.colours.buffer);
      colours.forEach(([red, green, blue], label) => {
        [red, green, blue, 255].forEach((value, channel) => word.setUint8(4 * label + channel, value));
      });
      mask.addEventListener("change", event => this.repaint(event.detail));
      new ResizeObserver(() => this.place()).observe(root);
      this.repaint(null);
    }

    /** Paint a rectangle anew; null: all, at the mask's present size. */
    repaint(area) {
      const { width, height, labels } = this.mask;
      if (!area || this.picture?.width !== width || this.picture.height !== height) {
        this.canvas.width = this.photo.width = width;
        this.canvas.height = this.photo.height = height;
        this.picture = this.context.createImageData(width, height);
        this.pixels = new Uint32Array(this.picture.data.buffer);
        area = { left: 0, top: 0, right: width - 1, bottom: height - 1 };
        this.place();
        this.dispatchEvent(new Event("size"));
      }
      const { left, top, right, bottom } = area;
      for (let y = top; y <= bottom; y++) {
        for (let i = y * width + left; i <= y * width + right; i++) this.pixels[i] = this.colours[labels[i]];
      }
      this.context.putImageData(this.picture, 0, 0, left, top, right - left + 1, bottom - top + 1);
    }

    /** Where a pointer is, in pixels of the mask. */
    locate({ clientX, clientY }) {
      const box = this.canvas.getBoundingClientRect();
      return [(clientX - box.left) / box.width * this.mask.width, (clientY - box.top) / box.height * this.mask.height];
    }

    /** Pixels of the screen that a pixel of the mask covers. */
    get scale() { return this.canvas.getBoundingClientRect().width / this.mask.width; }

    /** Move by (dx, dy) and zoom by a factor, with the point of the screen at (clientX, clientY) staying where it is;
     *  default: the centre. */
    zoomBy(factor, at, dx = 0, dy = 0) {
      const box = this.root.getBoundingClientRect();
      const px = (at?.clientX ?? box.left + box.width / 2) - box.left, py = (at?.clientY ?? box.top + box.height / 2) - box.top;
      const zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor)), ratio = zoom / this.zoom;
      this.x = px - (px - this.x - dx) * ratio;
      this.y = py - (py - this.y - dy) * ratio;
      this.zoom = zoom;
      this.place();
    }

    moveBy(dx, dy) {
      this.x += dx;
      this.y += dy;
      this.place();
    }

    fit() {
      Object.assign(this, { zoom: 1, x: 0, y: 0 });
      this.place();
    }

    /** Lay out the sheet: whole at zoom 1, never farther away than its own edge. */
    place() {
      const wide = this.root.clientWidth, high = this.root.clientHeight, { width, height } = this.mask;
      const fitted = Math.min(wide / width, high / height) * this.zoom;
      const [w, h] = [width * fitted, height * fitted];
      const keep = (offset, size, room) => (size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, offset)));
      this.x = keep(this.x, w, wide);
      this.y = keep(this.y, h, high);
      Object.assign(this.sheet.style, { width: `${w}px`, height: `${h}px`, transform: `translate(${this.x}px, ${this.y}px)` });
      this.dispatchEvent(new Event("zoom"));
    }

    /** Show how large the brush is: a circle around a point in pixels of the mask, or none. */
    showRing(point, radius, colour) {
      this.ring.hidden = !point;
      if (!point) return;
      const scale = this.sheet.clientWidth / this.mask.width;
      Object.assign(this.ring.style, {
        left: `${(point[0] - radius) * scale}px`, top: `${(point[1] - radius) * scale}px`,
        width: `${2 * radius * scale}px`, height: `${2 * radius * scale}px`,
      });
      this.ring.style.setProperty("--colour", `rgb(${colour})`);
    }
  };
})();
