// The editor: puts its parts together. Takes any engine:
//
//   describe() -> Promise of {labels: [{index, name, colour: [r, g, b], ignored?}], labelSpace, preset, samples: [name],
//       layers?, orders?, encodings?, saves?, edits?, decoder?, colours?, faces?, title?, volumePalette? (colours of the labels of volumes), seen? (the
//       part of a mask's sides that the network sees, in its middle)}; the page hides what is not there
//   run({labels, width, height, style: {seed, layers}, edit, drawing}, {onVolume(volume, stage),
//       onStatus({warnings}, {progress} or {words}), onEdit(bytes)}) -> Promise; a newer run ends the older, which may reject with
//       an AbortError or simply resolve. With `edits` in describe's answer, there are: edit (what edits add to the
//       codes: bytes, or null) and drawing ({pose, size, before, after, edit, steps?}: two maps of a view of the head
//       with that edit, see sides.js; steps only where `edits.steps` says that the engine can refine), whose result
//       comes as `onEdit`
//   map({labels, ..., pose}, {signal, onProgress}) -> Promise of {labels, width, height}; with `edits`, as is
//   colours({labels, ...}, {picture, mask, order, parts}, {signal}) -> Promise of {layers, codes, before, after}; with
//       `colours` (names of parts) in describe's answer; then style may be {seed, layers, codes}
//   face(file) -> Promise of {labels, width, height, warnings, picture}; with `faces`, if it finds faces in photographs
//   stop()                                  optional: ends the run
//   sample(name), read(file, {order, encoding}) -> Promise of {labels, width, height, warnings}
//   save(kind, {labels, ..., pose}, {size, signal, onProgress}) -> Promise of {blob, suffix}; of the kinds in `saves`
//   watch(({connected, changed}) => ...)   optional: of an engine that can be lost
//   dispose()
//
// The page itself asks nobody for anything.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const KEEP_AFTER = 400;   // milliseconds after the last change
  const find = id => document.getElementById(id);

  /** Start the editor in the page with an engine. Resolves to the running editor. */
  sem2nerf.startEditor = async engine => {
    const notices = new sem2nerf.Notices(find("notices"));
    try {
      const editor = new Editor(engine, await engine.describe(), notices);
      await editor.begin();
      return editor;
    } catch (error) {
      notices.error("start", error.message);
      throw error;
    }
  };

  class Editor {
    constructor(engine, about, notices) {
      Object.assign(this, { engine, about, notices, sample: null });
      const { labels } = about, state = () => this.state;
      this.mask = new sem2nerf.Mask();
      this.board = new sem2nerf.Board(find("board"), this.mask, labels.map(label => label.colour));
      const hair = labels.find(label => label.name === "hair") ?? labels.find(label => label.index > 0 && !label.ignored);
      this.tools = new sem2nerf.Tools(this.board, this.mask, { labels, mirror: sem2nerf.mirrorTable(labels), label: hair.index });
      this.photo = new sem2nerf.Photo(this.board, find);
      this.tools.onHand = (dx, dy) => this.photo.moveBy(dx, dy);
      sem2nerf.makePalette(find("labels"), labels, this.tools, this.mask);
      this.style = new sem2nerf.Style(find, about.layers ?? 9);
      this.head = new sem2nerf.Head(find, about, notices);
      this.sides = new sem2nerf.Sides({ find, engine, about, board: this.board, mask: this.mask, photo: this.photo, head: this.head, state, notices });
      const onEdit = bytes => { this.sides.take(bytes, Boolean(this.refining)); this.keepSoon(); };
      this.live = new sem2nerf.Live({ engine, head: this.head, state, notices, find, onEdit });
      this.saves = new sem2nerf.Saves({ find, engine, about, head: this.head, mask: this.mask, state, notices });
      sem2nerf.makeColours({ find, engine, about, board: this.board, mask: this.mask, photo: this.photo, style: this.style, sides: this.sides, state, notices });
      this.opener = new sem2nerf.Opener({ find, engine, about, notices, photo: this.photo, opened: (name, mask) => this.take(name, mask) });
      find("weights").textContent = about.title ?? "";
      find("seen").style.inset = `${50 - 50 * (about.seen ?? 1)}%`;
      find("samples-open").hidden = !about.samples?.length;
      this.wire();
    }

    /** Where parts usually lie is shown while the mask of a face has neither eyes nor glasses. */
    get faceIsMissing() {
      const parts = new Set(this.about.labels.filter(({ name }) => /^([lr]_eye|eye_g)$/.test(name)).map(({ index }) => index));
      return parts.size > 0 && !this.mask.labels.some(label => parts.has(label));
    }

    get state() {
      const { labels, width, height } = this.sides.front, { edit, drawing } = this.sides;
      return { labels, width, height, style: this.style.value, pose: this.head.pose, edit, drawing };
    }

    wire() {
      const { mask, tools, board } = this;
      mask.addEventListener("done", () => { this.sample = null; this.changed(); });
      mask.addEventListener("change", () => this.press());
      this.style.addEventListener("change", () => this.changed());
      this.head.addEventListener("pose", () => this.keepSoon());
      tools.addEventListener("choose", () => this.press());
      board.addEventListener("zoom", () => this.press());
      const click = (id, act) => find(id).addEventListener("click", act);
      click("undo", () => mask.undo());
      click("redo", () => mask.redo());
      click("flip", () => mask.change(() => mask.flip(tools.mirror)));
      click("mirror", () => tools.set({ mirrored: !tools.mirrored }));
      click("blank", () => {
        const { width, height } = this.sides.front;
        this.take(this.saves.name, { labels: new Uint8Array(width * height), width, height });
      });
      click("side-refine", () => this.refine());
      this.sides.addEventListener("change", () => this.changed());
      this.sides.addEventListener("sheet", event => tools.set({ size: tools.size * event.detail }));
      this.live.addEventListener("settled", () => this.sides.dispatchEvent(new Event("settled")));
      click("zoom-in", () => board.zoomBy(1.5));
      click("zoom-out", () => board.zoomBy(1 / 1.5));
      click("zoom-fit", () => board.fit());
      click("link", () => this.copyLink());
      click("help-open", () => find("help").showModal());
      find("size").addEventListener("input", event => tools.set({ size: +event.target.value }));
      for (const button of find("tools").children) button.addEventListener("click", () => tools.set({ tool: button.dataset.tool }));
      find("samples-open").addEventListener("click", sem2nerf.makeSamples(find("samples"), find("sample-list"), this.engine, this.about,
        (name, sample) => this.take(name, sample, name), text => this.notices.error("file", text)));
      addEventListener("keydown", event => {
        const writing = event.target.matches?.("input:not([type=range]), select, textarea");
        if (event.defaultPrevented || writing || document.querySelector("dialog[open]")) return;
        if (event.key === "?") find("help").showModal();
        else if (event.key === "l" && !event.ctrlKey && !event.metaKey && !event.altKey) this.head.toggleLabels();
        else if (event.key === "p" && !event.ctrlKey && !event.metaKey && !event.altKey) this.sides.on ? this.sides.done() : this.sides.begin();
        else if (!tools.shortcut(event)) return;
        event.preventDefault();
      });
      addEventListener("hashchange", () => this.restore(location.hash));
      addEventListener("pagehide", () => this.keep());
      this.engine.watch?.(({ connected, changed }) => this.connection(connected, changed));
    }

    /** The state of the address, else the one kept in this browser, else the first sample, else nothing. */
    async begin() {
      const space = this.about.labelSpace, [first] = this.about.samples ?? [];
      const found = await this.restore(location.hash) || await this.restore(sem2nerf.storedState(space) ?? "");
      if (found) return;
      try {
        if (first) { this.put(first, await this.engine.sample(first), first); return; }
      } catch (error) { this.notices.error("file", error.message); }
      this.put("head", { labels: new Uint8Array(512 * 512), width: 512, height: 512 });
    }

    /** Begin anew from a text of link.js; says whether there was something in it. */
    async restore(text) {
      if (text.replace("#", "") === this.kept) return false;
      const state = sem2nerf.stateOfText(text);
      if (!state.maskText && !state.sample) return false;
      try {
        const { labelSpace, samples, labels } = this.about;
        if (state.space && state.space !== labelSpace) {
          throw new Error(`This link is for ${state.space} masks, and these weights are for ${labelSpace}`);
        }
        if (state.sample && !samples?.includes(state.sample)) throw new Error(`There is no sample called ${state.sample}`);
        const mask = state.sample ? await this.engine.sample(state.sample)
          : await sem2nerf.maskOfText(state.maskText, labels.length);
        this.style.value = state.style;
        this.head.pose = state.pose;
        const { edit, style } = state, same = this.about.decoder && state.decoder === this.about.decoder;
        if ((edit || style.codes) && !same) {
          const what = [edit && "edits from the side", style.codes && "colours of a picture"].filter(Boolean).join(" and ");
          this.notices.warn("link", `This link holds ${what} that only the weights with which they were made can show: here is the head without`);
          this.style.value = { seed: 0, layers: style.codes ? [] : style.layers };
        }
        this.put(state.sample ?? "head", mask, state.sample, same ? edit : null);
        return true;
      } catch (error) {
        this.notices.error("link", error.message);
        return false;
      }
    }

    /** A mask to begin with. */
    put(name, mask, sample = null, edit = null) {
      this.sides.put(edit);
      this.sample = sample;
      this.saves.name = name;
      this.mask.put(mask);
      this.mask.past = [];
      this.mask.future = [];
      this.changed();
    }

    /** Another mask in place of the present one, without its edits; undo brings that back. */
    take(name, mask, sample = null) {
      const before = this.sides.on ? this.sides.anchors[0].edit : this.sides.edit;
      this.sides.put();
      this.mask.replace(mask, side => { this.sides.edit = side ? null : before; });
      this.saves.name = name;
      this.sample = sample;
      this.board.fit();
      this.changed();
    }

    changed() {
      find("wait").hidden = Boolean(this.head.viewer.volume);
      this.press();
      this.keepSoon();
      this.sides.giveUp();
      this.sides.stale();
      if (this.refining) this.live.stop();
      this.stopRefining();
      this.updated = this.live.update();
    }

    /** Bring the head nearer to the drawing; a second call ends that. A stroke meanwhile ends it, too. */
    async refine() {
      const { sides } = this;
      if (this.refining) {
        this.stopRefining();
        this.live.stop();
        return;
      }
      const bar = find("side-progress"), refining = this.refining = {};
      bar.hidden = false;
      bar.removeAttribute("value");
      find("side-refine").textContent = "Stop";
      const state = { ...this.state, drawing: { ...sides.whole, steps: this.about.edits.steps } };
      this.updated = this.live.update(state, part => { bar.value = part; });
      const made = await this.updated;
      if (this.refining !== refining) return;
      if (made && sides.on) sides.anchor();
      this.stopRefining();
    }

    stopRefining() {
      this.refining = null;
      find("side-progress").hidden = true;
      find("side-refine").textContent = "Refine";
      this.press();
    }

    /** Buttons that show a state. */
    press() {
      const { mask, tools, board } = this;
      find("side-refine").disabled = !this.sides.drawn;
      find("seen").hidden = this.sides.on || !(this.about.seen < 1);
      find("guide").toggleAttribute("hidden", this.sides.on || !this.faceIsMissing);
      find("undo").disabled = !mask.canUndo;
      find("redo").disabled = !mask.canRedo;
      find("mirror").setAttribute("aria-pressed", tools.mirrored);
      for (const button of find("tools").children) button.setAttribute("aria-checked", button.dataset.tool === tools.tool);
      find("size").value = tools.size;
      find("size-text").value = tools.size;
      find("zoom-text").value = `${Math.round(board.zoom * 100)}%`;
    }

    keepSoon() {
      clearTimeout(this.keeping);
      this.keeping = setTimeout(() => this.keep(), KEEP_AFTER);
    }

    /** The state into the address and into the browser's store. */
    async keep() {
      const { state } = this, { labelSpace: space, decoder } = this.about, maskText = this.sample ? null : await sem2nerf.textOfMask(state);
      const text = sem2nerf.textOfState({ ...state, maskText, sample: this.sample, space, decoder });
      if (text === this.kept) return;
      this.kept = text;
      history.replaceState(null, "", `#${text}`);
      sem2nerf.storeState(this.about.labelSpace, text);
    }

    async copyLink() {
      await this.keep();
      try {
        await navigator.clipboard.writeText(location.href);
        this.notices.warn("link", "The link is on the clipboard: it holds mask, style, view and edits");
      } catch {
        this.notices.warn("link", "The link is the address of this page: copy it from there");
      }
    }

    /** The engine is lost or back. */
    connection(connected, changed) {
      document.documentElement.classList.toggle("offline", !connected);
      if (!connected) {
        this.notices.error("server", "The server does not answer. You can go on painting; the head follows as soon as it is back");
        return;
      }
      this.notices.clear("server");
      if (changed) this.keep().then(() => location.reload());   // other weights, perhaps: from the address, all anew
      else this.changed();
    }
  }
})();
