"use strict";
// Pointers, wheel and keys on a canvas: sem2nerf.Controls tells how far to turn and to zoom.

(() => {
  const sem2nerf = globalThis.sem2nerf ??= {};
  const PER_WIDTH = 2;          // radians of a drag across the whole canvas, at the camera preset's field of view
  const KEY_ANGLE = 0.06;       // radians of an arrow key
  const KEY_ZOOM = 1.1;
  const WHEEL_ZOOM = 0.001;     // per pixel; lines and pages of the wheel are taken as so many pixels
  const WHEEL_UNITS = [1, 16, 400];

  sem2nerf.Controls = class {
    /**
     * @param {object} on turn(yaw, pitch) in radians at the preset's field of view, zoom(factor of the field of view),
     *     reset(), enabled(): whether a drag turns the head at this moment
     */
    constructor(canvas, on) {
      this.canvas = canvas;
      this.on = on;
      this.fingers = new Map();
      this.ended = new AbortController();
      canvas.style.touchAction = "none";
      const listen = (name, options = {}) =>
        canvas.addEventListener(name, event => this[name](event), { signal: this.ended.signal, ...options });
      ["pointerdown", "pointermove", "pointerup", "pointercancel", "dblclick", "keydown"].forEach(name => listen(name));
      listen("wheel", { passive: false });
    }

    dispose() { this.ended.abort(); }

    pointerdown(event) {
      if (event.button > 0 || !this.on.enabled()) return;
      this.canvas.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    }

    pointermove(event) {
      const old = this.fingers.get(event.pointerId);
      if (!old) return;
      const before = this.spread();
      this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (this.fingers.size === 2) {
        this.on.zoom(before / Math.max(this.spread(), 1));
      } else if (this.fingers.size === 1) {
        // the head follows the pointer
        const scale = PER_WIDTH / Math.max(this.canvas.clientWidth, 1);
        this.on.turn((event.clientX - old.x) * scale, -(event.clientY - old.y) * scale);
      }
    }

    pointerup(event) { this.fingers.delete(event.pointerId); }

    pointercancel(event) { this.fingers.delete(event.pointerId); }

    /** Pixels between two fingers. */
    spread() {
      const [a, b] = this.fingers.values();
      return b ? Math.max(Math.hypot(a.x - b.x, a.y - b.y), 1) : 1;
    }

    wheel(event) {
      event.preventDefault();
      this.on.zoom(Math.exp(event.deltaY * WHEEL_UNITS[event.deltaMode] * WHEEL_ZOOM));
    }

    dblclick() { if (this.on.enabled()) this.on.reset(); }

    keydown(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { turn, zoom, reset } = this.on, act = {
        ArrowLeft: () => turn(-KEY_ANGLE, 0), ArrowRight: () => turn(KEY_ANGLE, 0),
        ArrowUp: () => turn(0, KEY_ANGLE), ArrowDown: () => turn(0, -KEY_ANGLE),
        "+": () => zoom(1 / KEY_ZOOM), "=": () => zoom(1 / KEY_ZOOM), "-": () => zoom(KEY_ZOOM),
        Home: () => reset(), 0: () => reset(),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }
  };
})();
