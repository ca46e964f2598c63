// Painting with mouse, pen, fingers and keyboard.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});
  const { labelOfKey } = sem2nerf;

  sem2nerf.TOOLS = { brush: "b", area: "a", fill: "f", pick: "i", hand: "h" };
  const SIZES = { least: 1, most: 120 };
  const OUTLINE = 1;   // radius of the line around an area, in pixels of the mask

  /** Paints on `board`. Fires "choose" when tool, size, label or mirroring change. */
  sem2nerf.Tools = class Tools extends EventTarget {
    constructor(board, mask, { labels, mirror, label }) {
      super();
      Object.assign(this, { board, mask, labels, mirror, label, tool: "brush", size: 24, mirrored: false });
      this.pointers = new Map();   // of fingers and buttons that are down: id -> event
      this.pen = null;             // where the stroke in progress has got to
      this.outline = [];           // ... of an area: where it has been
      this.keyPen = null;          // the keyboard's: {x, y, down}
      this.listen(board.root);
    }

    set(values) {
      if (values.size !== undefined) values.size = Math.min(SIZES.most, Math.max(SIZES.least, Math.round(values.size)));
      if (values.label !== undefined && !this.labels[values.label]) return;
      Object.assign(this, values);
      this.dispatchEvent(new Event("choose"));
      this.ring();
    }

    listen(root) {
      root.addEventListener("pointerdown", event => this.down(event));
      root.addEventListener("pointermove", event => this.move(event));
      for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, event => this.up(event));
      root.addEventListener("pointerleave", () => { if (!this.pen) this.hover = null; this.ring(); });
      root.addEventListener("contextmenu", event => event.preventDefault());
      root.addEventListener("wheel", event => {
        event.preventDefault();
        this.board.zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), event);
      }, { passive: false });
      root.addEventListener("keydown", event => this.key(event));
      root.addEventListener("blur", () => { this.liftKeyPen(); this.keyPen = null; this.ring(); });
    }

    down(event) {
      this.pointers.set(event.pointerId, event);
      this.board.root.setPointerCapture(event.pointerId);
      if (this.pointers.size === 2) {          // a second finger: it is no stroke, it moves the sheet
        this.mask.revert();
        this.pen = null;
        this.outline = [];
        return;
      }
      const point = this.board.locate(event), [x, y] = point.map(Math.floor);
      const picks = this.tool === "pick" || event.altKey || event.button === 2;
      if (picks) {
        if (this.mask.holds(x, y)) this.set({ label: this.mask.at(x, y), tool: this.tool === "pick" ? "brush" : this.tool });
      } else if (this.tool === "hand" || event.button === 1 || this.pointers.size > 2) {
        event.preventDefault();
      } else if (this.tool === "fill") {
        this.fillAt(x, y);
      } else {
        this.stroke(point, point);
        this.pen = point;
      }
    }

    move(event) {
      const before = this.pointers.get(event.pointerId);
      if (before) this.pointers.set(event.pointerId, event);
      if (this.pen) {
        const passed = event.getCoalescedEvents?.() ?? [];
        for (const one of passed.length ? passed : [event]) {
          const point = this.board.locate(one);
          this.stroke(this.pen, point);
          this.pen = point;
        }
      } else if (before && this.pointers.size === 2) {
        const other = [...this.pointers.values()].find(one => one.pointerId !== event.pointerId);
        const apart = one => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
        this.board.zoomBy(Math.max(1, apart(event)) / Math.max(1, apart(before)), {
          clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2,
        }, (event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
      } else if (before && (this.tool === "hand" || before.buttons & 4)) {
        if (!this.onHand?.(event.clientX - before.clientX, event.clientY - before.clientY)) {
          this.board.moveBy(event.clientX - before.clientX, event.clientY - before.clientY);
        }
      }
      if (event.pointerType !== "touch" || this.pen) this.hover = this.board.locate(event);
      this.ring();
    }

    up(event) {
      this.pointers.delete(event.pointerId);
      if (event.pointerType === "touch") this.hover = null;
      if (this.pen) {
        this.pen = null;
        if (event.type === "pointercancel") { this.mask.revert(); this.outline = []; }
        else this.end();
      }
      this.ring();
    }

    stroke(from, to) {
      const { mask, label } = this, radius = this.tool === "area" ? OUTLINE : this.size / 2;
      mask.begin();                            // if it has not begun: an undo in the middle ends a stroke
      if (this.tool === "area") this.outline.push(to);
      mask.line(...from, ...to, radius, label);
      if (this.mirrored) mask.line(mask.width - from[0], from[1], mask.width - to[0], to[1], radius, this.mirror[label]);
    }

    /** What an outline encloses gets its label. */
    fillOutline() {
      const { mask, label, outline } = this;
      if (!outline.length) return;
      mask.inside(outline, label);
      if (this.mirrored) mask.inside(outline.map(([x, y]) => [mask.width - x, y]), this.mirror[label]);
      this.outline = [];
    }

    fillAt(x, y) {
      const { mask, label } = this;
      if (!mask.holds(x, y)) return;
      mask.change(() => {
        mask.fill(x, y, label);
        if (this.mirrored) mask.fill(mask.width - 1 - x, y, this.mirror[label]);
      });
    }

    end() {
      this.fillOutline();
      if (this.mask.finish()) this.mask.dispatchEvent(new CustomEvent("done"));
    }

    /** On the board itself: arrows move a pen, Space lowers and lifts it, Enter uses the tool once. */
    key(event) {
      const { board, mask } = this, step = (event.shiftKey ? 8 : 2) / Math.max(board.scale, 0.01);
      const arrow = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
      if (event.ctrlKey || event.metaKey) return;
      if (arrow) {
        const pen = this.placeKeyPen(), x = Math.min(mask.width, Math.max(0, pen.x + arrow[0]));
        const y = Math.min(mask.height, Math.max(0, pen.y + arrow[1]));
        if (pen.down) this.stroke([pen.x, pen.y], [x, y]);
        Object.assign(pen, { x, y });
        this.hover = [x, y];
      } else if (event.key === " " || event.key === "Enter") {
        const pen = this.placeKeyPen(), x = Math.min(mask.width - 1, Math.floor(pen.x)), y = Math.min(mask.height - 1, Math.floor(pen.y));
        if (this.tool === "pick") this.set({ label: mask.at(x, y), tool: "brush" });
        else if (this.tool === "fill") this.fillAt(x, y);
        else if (pen.down) this.liftKeyPen();
        else if (this.tool === "brush" || this.tool === "area") {
          this.stroke([pen.x, pen.y], [pen.x, pen.y]);
          pen.down = event.key === " ";
          if (!pen.down) this.end();
        }
      } else if (event.key === "+" || event.key === "=") board.zoomBy(1.25);
      else if (event.key === "-") board.zoomBy(0.8);
      else if (event.key === "Home") board.fit();
      else return;
      event.preventDefault();
      event.stopPropagation();
      this.ring();
    }

    placeKeyPen() {
      this.keyPen ??= { x: this.mask.width / 2, y: this.mask.height / 2, down: false };
      this.hover = [this.keyPen.x, this.keyPen.y];
      return this.keyPen;
    }

    liftKeyPen() {
      if (!this.keyPen?.down) return;
      this.keyPen.down = false;
      this.end();
    }

    /** Keys that work wherever the focus is, but in fields of text. */
    shortcut(event) {
      const key = event.key.toLowerCase(), label = labelOfKey(event);
      if (event.ctrlKey || event.metaKey) {
        if (key === "z") event.shiftKey ? this.mask.redo() : this.mask.undo();
        else if (key === "y") this.mask.redo();
        else return false;
        return true;
      }
      if (event.altKey) return false;
      const tool = Object.keys(sem2nerf.TOOLS).find(name => sem2nerf.TOOLS[name] === key);
      if (tool) this.set({ tool });
      else if (key === "m") this.set({ mirrored: !this.mirrored });
      else if (event.key === "[" || event.key === "]") this.set({ size: this.size * (event.key === "]" ? 1.25 : 0.8) + (event.key === "]" ? 1 : -1) });
      else if (label !== null && this.labels[label]) this.set({ label });
      else return false;
      return true;
    }

    ring() {
      const paints = this.tool === "brush" && this.hover;
      this.board.showRing(paints ? this.hover : null, this.size / 2, this.labels[this.label].colour);
      this.board.root.dataset.tool = this.tool;
    }
  };
})();
