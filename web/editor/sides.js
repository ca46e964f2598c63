// Edits from any side: the label map of a view comes onto the sheet in place of the mask, and the head follows what is
// drawn on it. What edits add to the head's codes is kept here, as bytes that only the engine understands.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const PICTURE = 512;   // pixels of the view that lies below the map
  const DEGREES = 180 / Math.PI;

  const same = (a, b) => a.length === b.length && a.every((value, index) => value === b[index]);

  /** Fires "change" when the head changes otherwise than by a stroke, and "sheet" (detail: how much finer its pixels are)
   *  when another map or mask is on the sheet. Without `about.edits`, nothing shows. */
  sem2nerf.Sides = class Sides extends EventTarget {
    constructor({ find, engine, about, board, mask, photo, head, state, notices }) {
      super();
      Object.assign(this, { find, engine, about, board, mask, photo, head, state, notices });
      this.edit = null;        // what edits add to the codes: bytes, or null
      this.kept = null;        // the mask and its history, while a map is on the sheet
      this.fresh = true;       // whether `edit` is that of what is on the sheet
      this.anchors = [];       // maps whose codes are known: {labels, edit}; the first is the map as it was rendered
      this.asking = null;
      const click = (id, act) => find(id).addEventListener("click", act);
      find("side").hidden = !about.edits;
      click("side", () => this.begin());
      click("side-done", () => this.done());
      click("side-back", () => this.back());
      click("side-view", () => head.viewer.move(this.pose));
      this.show();
    }

    get on() { return this.kept !== null; }

    /** The mask of the front, whatever is on the sheet. */
    get front() { return this.kept ?? this.mask; }

    /** What is being drawn, for the engine: {pose, size, before, after, edit}; null while the mask is on the sheet. */
    get drawing() {
      if (!this.on) return null;
      const { labels, width } = this.mask;
      const { labels: before, edit } = this.anchors.findLast(anchor => same(anchor.labels, labels)) ?? this.anchors.at(-1);
      return { pose: this.pose, size: width, before, after: labels, edit };
    }

    /** The same for a refinement, which begins with the map as it was rendered. */
    get whole() {
      const { labels: before, edit } = this.anchors[0];
      return { ...this.drawing, before, edit };
    }

    get drawn() { return this.on && !same(this.anchors[0].labels, this.mask.labels); }

    /** Something was drawn: what it adds is not known yet. */
    stale() { if (this.on) this.fresh = false; }

    /** ... and now it is. Undo to a map whose codes are known gives these, without rounding. */
    take(bytes, refined) {
      const known = !refined && this.anchors.findLast(anchor => same(anchor.labels, this.mask.labels));
      this.edit = known ? known.edit : bytes;
      this.fresh = true;
      this.dispatchEvent(new Event("settled"));
    }

    /** A refined head is what further strokes begin with. */
    anchor() { this.anchors.push({ labels: this.mask.labels.slice(), edit: this.edit }); }

    /** Ask for the map of the present view; a second call gives up on it. */
    async begin() {
      if (this.on || !this.about.edits) return;
      if (this.asking) { this.giveUp(); return; }
      const asking = this.asking = new AbortController(), { viewer } = this.head;
      const pose = { ...viewer.pose, fov: this.about.preset.fov };
      this.notices.clear("side");
      this.show();
      try {
        const map = await this.engine.map({ ...this.state(), pose }, {
          signal: asking.signal, onProgress: part => { this.find("side-wait").value = part; },
        });
        const picture = await viewer.picture(PICTURE, pose);
        if (asking.signal.aborted) return;
        this.asking = null;
        this.enter(map, picture, pose, Math.tan(pose.fov / 2 / DEGREES) / Math.tan(viewer.pose.fov / 2 / DEGREES));
      } catch (error) {
        if (!asking.signal.aborted) this.notices.error("side", `There is no map of this view: ${error.message}`);
      } finally {
        if (this.asking === asking) this.asking = null;
        this.show();
      }
    }

    /** The head has changed: a map that is on its way would be of the old one. */
    giveUp() {
      this.asking?.abort();
      this.asking = null;
      this.show();
    }

    enter(map, picture, pose, zoom) {
      const { mask } = this, { labels, width, height, past, future } = mask;
      this.kept = { labels, width, height, past, future };
      this.pose = pose;
      this.anchors = [{ labels: map.labels.slice(), edit: this.edit }];
      mask.past = [];
      mask.future = [];
      mask.put(map);
      this.photo.lend(picture);
      this.board.fit();
      if (zoom > 1.05) this.board.zoomBy(zoom);
      this.fresh = true;
      this.dispatchEvent(new CustomEvent("sheet", { detail: map.width / width }));
      this.show();
      this.find("board").focus();
    }

    /** The mask comes back onto the sheet. */
    leave() {
      if (!this.on) return;
      const { mask, kept } = this, { width } = mask;
      mask.finish();
      this.kept = null;
      this.anchors = [];
      this.fresh = true;
      mask.put(kept);
      Object.assign(mask, { past: kept.past, future: kept.future });
      this.photo.giveBack();
      this.board.fit();
      this.dispatchEvent(new CustomEvent("sheet", { detail: kept.width / width }));
      this.show();
      this.find("side").focus();
    }

    /** Keep what was drawn. Undo takes all of it back at once. */
    async done() {
      const { kept } = this;
      if (!this.fresh) await new Promise(resolve => this.addEventListener("settled", resolve, { once: true }));
      if (!this.on || this.kept !== kept) return;
      const before = this.anchors[0].edit;
      this.leave();
      this.remember(before);
      this.dispatchEvent(new Event("change"));
    }

    /** Drop what was drawn on this map; without a map, all edits. */
    back() {
      const before = this.on ? this.anchors[0].edit : this.edit;
      if (this.on) this.edit = before;
      else this.edit = null;
      this.leave();
      this.remember(before);
      this.dispatchEvent(new Event("change"));
    }

    /** The step from an earlier edit to the present one can be undone. */
    remember(before) {
      const after = this.edit;
      if (before === after || (before && after && same(before, after))) return;
      this.mask.remember({ bytes: (before?.length ?? 0) + (after?.length ?? 0), act: side => { this.edit = side ? after : before; } });
      this.mask.tell("change", { left: 0, top: 0, right: 0, bottom: 0 });
    }

    /** Begin anew, with these edits. */
    put(edit = null) {
      this.giveUp();
      this.leave();
      this.edit = edit;
      this.show();
    }

    show() {
      const { find, on } = this, degrees = angle => `${Math.round(angle * DEGREES) || 0}°`;
      find("side").textContent = this.asking ? "Stop waiting" : "Paint here";
      find("side").disabled = on;
      find("side-wait").hidden = !this.asking;
      if (!this.asking) find("side-wait").removeAttribute("value");
      find("side-bar").hidden = !on && !this.edit;
      for (const id of ["side-view", "side-done"]) find(id).hidden = !on;
      find("side-refine").hidden = !on || !this.about.edits.steps;   // which some engines cannot
      find("side-words").textContent = on ? `Seen from ${degrees(this.pose.yaw)}, ${degrees(this.pose.pitch)}` : "This head was edited from the side";
      find("side-back").title = on ? "Without what was drawn here" : "The head of the mask alone, without edits from the side (undo brings them back)";
      find("board").setAttribute("aria-label", on ? "The parts as seen from this side" : "The mask");
      for (const id of ["mirror", "flip"]) find(id).hidden = on;   // of a side there is no mirror image
    }
  };
})();
