// The engine that asks scripts/editor.py.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const STAGES = ["coarse", "fine", "finest"];
  const LOOK_EVERY = 2500, LOOK_FOR_IT = 700;   // milliseconds between two looks at whether the server is there
  const BUSY = 503, BUSY_WAIT = 500;
  const MOST_LABELS = 1 << 20;

  /** Frames of a streamed answer, see web/server/app.py: yields [facts, bytes]. */
  async function* framesOf(answer) {
    const reader = answer.body.getReader();
    let kept = new Uint8Array(0);
    const take = async count => {
      const parts = [kept];
      let have = kept.length;
      while (have < count) {
        const { done, value } = await reader.read();
        if (done) return null;
        parts.push(value);
        have += value.length;
      }
      const all = new Uint8Array(have);
      let at = 0;
      for (const part of parts) { all.set(part, at); at += part.length; }
      kept = all.subarray(count);
      return all.subarray(0, count);
    };
    for (let head; (head = await take(4));) {
      const json = await take(new DataView(head.buffer, head.byteOffset).getUint32(0, true));
      const facts = json && JSON.parse(new TextDecoder().decode(json)), data = facts && await take(facts.bytes);
      if (!data) throw offline("the answer broke off");
      yield [facts, data];
    }
  }

  const offline = why => Object.assign(new Error(`The server does not answer (${why})`), { offline: true });

  sem2nerf.ServerEngine = class ServerEngine {
    constructor() {
      this.tab = Array.from(crypto.getRandomValues(new Uint8Array(8)), byte => byte.toString(16).padStart(2, "0")).join("");
      this.connected = true;
      this.watcher = () => {};
    }

    async describe() {
      const about = await (await this.ask("describe")).json();
      this.instance = about.instance;
      this.about = JSON.stringify({ ...about, instance: null });
      return about;
    }

    async sample(name) { return this.maskOf(await this.ask(`samples/${encodeURIComponent(name)}`)); }

    async read(file, { order = "", encoding = "auto" } = {}) {
      return this.maskOf(await this.ask(`read?${new URLSearchParams({ order, encoding })}`, { method: "POST", body: await file.arrayBuffer() }));
    }

    async run(state, { onVolume, onEdit = () => {}, onStatus = () => {} }) {
      this.running?.abort();
      const { signal } = this.running = new AbortController();
      let coarse = null, stage = 0;
      for await (const [facts, data] of framesOf(await this.work("run", state, {}, signal))) {
        signal.throwIfAborted();
        if (facts.error) throw new Error(facts.error);
        if (facts.cancelled) return;
        if (facts.progress !== undefined) { onStatus({ progress: facts.progress }); continue; }
        if (facts.edit) {
          if (!facts.nearer) onStatus({ words: "Refining brought the head no nearer to the drawing: it stays as it was" });
          onEdit(data.slice());
          continue;
        }
        if (facts.warnings) { onStatus({ warnings: facts.warnings }); continue; }
        const volume = await sem2nerf.unpackVolume(data, coarse);
        signal.throwIfAborted();
        coarse ??= volume;
        onVolume(volume, STAGES[stage++]);
      }
    }

    /** A style from a picture: files `picture` and `mask` (null: found by the server), and names of parts. */
    async colours(state, { picture, mask, order = "", parts }, { signal } = {}) {
      const more = { picture: picture.size, mask: mask?.size ?? 0, order, parts: parts.join(",") };
      for await (const [facts, data] of framesOf(await this.work("colours", { ...state, drawing: null }, more, signal, [picture, mask ?? ""]))) {
        if (facts.error) throw new Error(facts.error);
        if (facts.layers) return { ...facts, codes: data.slice() };
      }
      throw offline("it ended early");
    }

    /** The mask of a face in a photograph, and the photograph itself, aligned. */
    async face(file) {
      let mask = null;
      for await (const [facts, data] of framesOf(await this.ask(`face?tab=${this.tab}`, { method: "POST", body: file }))) {
        if (facts.error) throw new Error(facts.error);
        if (facts.picture) return { ...mask, picture: new Blob([data], { type: facts.picture }) };
        mask = { labels: await sem2nerf.inflate(data, MOST_LABELS), width: facts.width, height: facts.height, warnings: facts.warnings };
      }
      throw offline("it ended early");
    }

    stop() { this.running?.abort(); }

    /** The label map of a view, to draw on. */
    async map({ pose, ...state }, { signal, onProgress = () => {} } = {}) {
      const answer = await this.work("map", { ...state, drawing: null }, { yaw: pose.yaw, pitch: pose.pitch, fov: pose.fov }, signal);
      for await (const [facts, data] of framesOf(answer)) {
        if (facts.error) throw new Error(facts.error);
        if (facts.progress !== undefined) onProgress(facts.progress);
        if (facts.width) return { labels: await sem2nerf.inflate(data, MOST_LABELS), width: facts.width, height: facts.height };
      }
      throw offline("it ended early");
    }

    async save(kind, { pose, ...state }, { size, signal, onProgress = () => {} }) {
      const more = { size, yaw: pose.yaw, pitch: pose.pitch, fov: pose.fov };
      for await (const [facts, data] of framesOf(await this.work(`save/${kind}`, { ...state, drawing: null }, more, signal))) {
        if (facts.error) throw new Error(facts.error);
        if (facts.progress !== undefined) onProgress(facts.progress);
        if (facts.suffix) return { blob: new Blob([data], { type: facts.mediaType }), suffix: facts.suffix };
      }
      throw offline("it ended early");
    }

    /** `callback({connected, changed})` whenever the server is lost or is there again; changed: with other weights. */
    watch(callback) {
      this.watcher = callback;
      this.lookLater();
      addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") this.look(); });
    }

    dispose() {
      this.running?.abort();
      clearTimeout(this.looking);
      this.watcher = null;
    }

    // ---- what follows is the engine's own

    /** What a head is made of goes into the address and, in the order that web/server/painting.py reads, the body. */
    work(path, { labels, width, height, style, edit, drawing }, more, signal, files = []) {
      const query = new URLSearchParams({ tab: this.tab, width, height, seed: style.seed, layers: style.layers.join(","), ...more });
      const body = [labels];
      if (style.codes && style.layers.length) { query.set("style", 1); body.push(style.codes); }
      const base = drawing ? drawing.edit : edit;
      if (base) { query.set("edit", 1); body.push(base); }
      if (drawing) {
        for (const [name, value] of Object.entries({ ...drawing.pose, map: drawing.size, refine: drawing.steps ?? 0 })) query.set(name, value);
        body.push(drawing.before, drawing.after);
      }
      return this.ask(`${path}?${query}`, { method: "POST", body: new Blob([...body, ...files]), signal });
    }

    /** An answer, or an error: `offline` where there is none, else with the server's line. */
    async ask(path, options = {}) {
      for (;;) {
        let answer;
        try { answer = await fetch(path, { cache: "no-store", ...options }); } catch (error) {
          if (options.signal?.aborted) throw error;
          this.lost();
          throw offline("it cannot be reached");
        }
        if (answer.ok) return answer;
        const words = (await answer.text()).trim();
        if (answer.status !== BUSY) throw new Error(words || `the server says ${answer.status}`);
        await new Promise(resolve => setTimeout(resolve, BUSY_WAIT));
        options.signal?.throwIfAborted();
      }
    }

    async maskOf(answer) {
      for await (const [{ width, height, warnings }, data] of framesOf(answer)) {
        return { labels: await sem2nerf.inflate(data, Math.min(width * height, MOST_LABELS)), width, height, warnings };
      }
      throw offline("the answer broke off");
    }

    lost() {
      if (this.connected) {
        this.connected = false;
        this.watcher?.({ connected: false, changed: false });
      }
      this.lookLater();
    }

    lookLater() {
      clearTimeout(this.looking);
      if (this.watcher) this.looking = setTimeout(() => this.look(), this.connected ? LOOK_EVERY : LOOK_FOR_IT);
    }

    async look() {
      if (document.visibilityState === "hidden") { this.lookLater(); return; }
      try {
        const { instance } = await (await this.ask("alive", { signal: AbortSignal.timeout(5000) })).json();
        const restarted = instance !== this.instance;
        if (!this.connected || restarted) {
          const before = this.about;
          if (restarted) await this.describe();
          this.connected = true;
          this.watcher?.({ connected: true, changed: restarted && before !== this.about });
        }
      } catch { this.lost(); return; }
      this.lookLater();
    }
  };

  sem2nerf.makeEngine = () => new sem2nerf.ServerEngine();
})();
