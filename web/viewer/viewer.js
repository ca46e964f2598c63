"use strict";
// A head in a canvas that can be turned:
//
//   const viewer = new sem2nerf.Viewer(canvas, { preset, onpose: pose => ... });
//   viewer.show(await sem2nerf.unpackVolume(bytes));
//   viewer.pose = { yaw: 0.3 };
//
// It draws when something has changed, and at no other time: small enough to be fast while the head moves, as fine as
// the canvas when it rests.

(() => {
  const sem2nerf = globalThis.sem2nerf ??= {};
  const MOVING_MS = 24, RESTING_MS = 1000;    // that drawing may take
  const SIDES = [64, 1024];                   // pixels
  const FIRST_SIDE = 256;                     // while nothing is known of the graphics processor
  const FINER = 1.2;                          // so much larger an image is worth to be drawn at rest
  const REST_AFTER_MS = 250;
  const TURN_MS = 4000, TURN_ANGLE = 0.25;    // of the greeting turn
  const WORDS = "A head in 3D. Arrow keys turn it, plus and minus zoom, Home brings it back to the front.";

  sem2nerf.Viewer = class {
    /**
     * @param {HTMLCanvasElement} canvas its size on the page is the page's affair; images are square
     * @param {object} options
     *   preset: {fov, fovRange, yawRange, pitchRange, rayStart, rayEnd} of web/volume/viewing.py: degrees, radians, world units
     *   label: what a screen reader says of the canvas
     *   draggable: () => whether drags turn the head (a page that paints on the canvas says false)
     *   onpose(pose), onframe({side, ms}), oncontextlost(), oncontextrestored()
     * @throws {Error} there is no WebGL2 here
     */
    constructor(canvas, { preset, label = WORDS, draggable = () => true, ...events }) {
      Object.assign(this, { canvas, preset, events });
      this.renderer = new sem2nerf.VolumeRenderer(canvas, preset);
      this.current = { yaw: 0, pitch: 0, fov: preset.fov };
      this.labels = { on: false, palette: [] };
      this.volume = null;
      this.costs = null;            // milliseconds per pixel, once measured
      this.ended = new AbortController();
      canvas.tabIndex = Math.max(canvas.tabIndex, 0);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", label);
      canvas.style.objectFit = "contain";
      this.controls = new sem2nerf.Controls(canvas, {
        turn: (yaw, pitch) => this.move({ yaw: this.current.yaw + yaw * this.zoomed,
                                          pitch: this.current.pitch + pitch * this.zoomed }),
        zoom: factor => this.move({ fov: this.current.fov * factor }),
        reset: () => this.reset(),
        enabled: draggable,
      });
      const listen = (name, act) => canvas.addEventListener(name, act, { signal: this.ended.signal });
      listen("webglcontextlost", event => { event.preventDefault(); this.events.oncontextlost?.(); });
      listen("webglcontextrestored", () => this.restore());
      this.resized = new ResizeObserver(() => this.draw());
      this.resized.observe(canvas);
    }

    /**
     * Show a volume in place of the one before; the pose stays. A draft, which a better one follows soon, is drawn as
     * fast as a moving head, so that those who make the better one are not kept from it; and so is the first image of
     * what follows it, which is seen the sooner for that.
     */
    show(volume, { draft = false } = {}) {
      this.volume = volume;
      this.followsDraft = this.draft;
      this.draft = draft;
      if (!this.renderer.lost) this.renderer.setVolume(volume);
      this.draw();
    }

    /** {yaw, pitch}: offsets from the front, as those of the command line; {fov} in degrees. */
    get pose() { return { ...this.current }; }

    /** What is left out stays; what is beyond the preset's limits becomes the limit. */
    set pose(pose) {
      const limits = { yaw: this.preset.yawRange, pitch: this.preset.pitchRange, fov: this.preset.fovRange };
      for (const [name, [low, high]] of Object.entries(limits))
        if (Number.isFinite(pose[name])) this.current[name] = Math.min(high, Math.max(low, pose[name]));
      this.draw();
    }

    reset() { this.move({ yaw: 0, pitch: 0, fov: this.preset.fov }); }

    /** Labels in their colours in place of the head, if the volume has them: see `hasLabels`. */
    showLabels(on, palette = this.labels.palette) {
      this.labels = { on, palette };
      if (!this.renderer.lost) this.renderer.setPalette(palette);
      this.draw();
    }

    get hasLabels() { return Boolean(this.volume?.labels); }

    /** A canvas with the image of the present pose, whatever the size on the page. */
    async picture(size, pose = this.pose) {
      const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
      const pixels = await this.renderer.read(pose, size, this.mode);
      canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), size), 0, 0);
      return canvas;
    }

    /** Label numbers of the present pose, rows from top to bottom: Uint8Array(size^2). The volume must have labels. */
    async labelMap(size, pose = this.pose) {
      const pixels = await this.renderer.read(pose, size, sem2nerf.MODES.labelNumbers);
      return Uint8Array.from({ length: size * size }, (_, i) => pixels[4 * i]);
    }

    /** A turn to either side, once, until somebody takes hold of the head; none where motion is unwelcome. */
    greet() {
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
      const from = this.pose;
      let last = JSON.stringify(from), start = null;
      const turn = now => {
        const part = (now - (start ??= now)) / TURN_MS;
        if (this.gone || this.moving || JSON.stringify(this.current) !== last) return;
        this.pose = part < 1 ? { ...from, yaw: from.yaw + TURN_ANGLE * Math.sin(2 * Math.PI * part) } : from;
        last = JSON.stringify(this.current);
        this.greeting = part < 1;
        if (this.greeting) requestAnimationFrame(turn);
      };
      requestAnimationFrame(turn);
    }

    /** Free everything; the canvas can be given to another viewer. */
    dispose() {
      this.gone = true;
      this.controls.dispose();
      this.ended.abort();
      this.resized.disconnect();
      cancelAnimationFrame(this.request);
      clearTimeout(this.rest);
      this.renderer.gl.getExtension("WEBGL_lose_context")?.loseContext();
    }

    // ---- what follows is the viewer's own

    get hurried() { return this.moving || this.greeting || this.draft || this.followsDraft; }

    get zoomed() { return this.current.fov / this.preset.fov; }

    get mode() { return sem2nerf.MODES[this.labels.on && this.hasLabels ? "labels" : "colour"]; }

    /** Somebody moves the head. */
    move(pose) {
      this.moving = true;
      clearTimeout(this.rest);
      this.rest = setTimeout(() => { this.moving = false; this.draw(); }, REST_AFTER_MS);
      this.pose = pose;
      this.events.onpose?.(this.pose);
    }

    restore() {
      this.renderer.restore();
      this.warm = false;
      this.renderer.setPalette(this.labels.palette);
      if (this.volume) this.renderer.setVolume(this.volume);
      this.events.oncontextrestored?.();
      this.draw();
    }

    /** With the next frame of the page; while one is being drawn, after it. */
    draw() {
      if (this.gone) return;
      this.wanted = true;
      if (!this.drawing) this.request ??= requestAnimationFrame(() => { this.request = null; this.render(); });
    }

    async render() {
      if (this.renderer.lost || !this.renderer.volume) return;
      const side = this.side();
      if (!side) return;
      this.wanted = this.followsDraft = false;
      this.drawing = true;
      const start = performance.now();
      this.renderer.draw(this.current, side, this.mode);
      await this.renderer.finished();
      const ms = performance.now() - start, cost = ms / side ** 2;
      if (this.warm) this.costs = this.costs === null ? cost : this.costs + (cost - this.costs) * 0.3;
      else this.wanted = true;   // the first image takes long, and says nothing of the next
      this.warm = true;
      this.drawing = false;
      this.events.onframe?.({ side, ms });
      if (this.wanted || (!this.hurried && this.side() > FINER * side)) this.draw();
    }

    /** Pixels of the next image along each side; 0 where the canvas is not to be seen. */
    side() {
      const { clientWidth, clientHeight } = this.canvas, [least, most] = SIDES;
      const full = Math.min(Math.round(Math.min(clientWidth, clientHeight) * devicePixelRatio), most);
      if (full < 1) return 0;
      const ms = this.hurried ? MOVING_MS : RESTING_MS;
      const fits = this.costs === null ? FIRST_SIDE : Math.sqrt(ms / this.costs);
      return Math.min(full, Math.max(least, Math.floor(fits)));
    }
  };
})();
