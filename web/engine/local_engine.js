// The engine that needs no server: everything is computed in the page, by one worker per core.
//
//   const engine = new sem2nerf.LocalEngine({ model, wasm, source, about, sample });
//
// It has the methods of every engine (web/editor/editor.js lists them) and looks at the document nowhere.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const CHUNK = 2048;        // texels that a core gets at a time: an older run ends within one, some 30 ms
  const MOST_CORES = 8;
  const IDLE_MS = 300;       // of quiet before the finest volume is begun
  const STAGES = ["coarse", "fine", "finest"];
  const RUN = "run", MAP = "map";  // fields that cores keep

  const aborted = () => new DOMException("a newer run has begun", "AbortError");
  const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

  /** Lets the page have its turn. (Timers would wait for a second in a page that is not in front.) */
  const turn = () => new Promise(resolve => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); resolve(); };
    port2.postMessage(null);
  });

  /** A core in a worker: `call(method, argument)` -> Promise. */
  class Remote {
    constructor(address) {
      this.worker = new Worker(address);
      this.calls = new Map();
      this.count = 0;
      this.worker.onmessage = ({ data: { call, result, error } }) => {
        const { resolve, reject } = this.calls.get(call);
        this.calls.delete(call);
        if (error === undefined) resolve(result); else reject(new Error(error));
      };
      this.worker.onerror = event => {
        for (const { reject } of this.calls.values()) reject(new Error(event.message || "a worker failed"));
        this.calls.clear();
      };
    }

    call(method, argument, transfer = []) {
      return new Promise((resolve, reject) => {
        this.calls.set(++this.count, { resolve, reject });
        this.worker.postMessage({ call: this.count, method, argument }, transfer);
      });
    }

    end() { this.worker.terminate(); }
  }

  /** A core in this thread, for pages that may have no workers: the page stands still for one chunk at a time. */
  class Here {
    constructor() { this.core = new sem2nerf.Core(); }
    async call(method, argument) { await turn(); return this.core[method](argument); }
    end() {}
  }

  sem2nerf.LocalEngine = class LocalEngine {
    /**
     * @param {object} parts
     *   model: ArrayBuffer, or a Promise of one, see web/engine/model_file.py
     *   wasm: bytes of kernels.wasm, or null for plain JavaScript
     *   source: the worker's script
     *   about: what `describe` answers
     *   sample: name -> bytes of a mask file
     *   cores: how many workers
     */
    constructor({ model, wasm, source, about, sample, cores }) {
      Object.assign(this, { about, bytesOf: sample, job: 0 });
      this.count = cores ?? Math.max(1, Math.min(MOST_CORES, navigator.hardwareConcurrency || 2));
      this.ready = this.begin(model, wasm, source);
      this.ready.catch(() => {});  // whoever waits for it gets the error
    }

    async begin(model, wasm, source) {
      model = await model;
      this.cores = this.started(source);
      const all = this.cores.map((core, index) => core.call("begin", { wasm, model: index ? null : model }));
      // what pages read masks with, and where volumes lie, is needed here as well
      const { input, bake, viewing, mapLabels } = sem2nerf.readHeader(model).header;
      Object.assign(this, { input, bake, viewing, mapLabels });
      this.backgrounds = new Map();
      this.plain = (await Promise.all(all))[0].plain;
    }

    /** Workers; or one core in this thread where workers are not allowed. */
    started(source) {
      const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      try {
        return Array.from({ length: this.count }, () => new Remote(address));
      } catch {
        return [new Here()];
      }
    }

    async describe() {
      await this.ready;
      return this.about;
    }

    /** See web/editor/editor.js. Rejects with an AbortError when a newer run has begun. */
    async run({ style, edit, drawing, ...mask }, { onVolume, onEdit = () => {}, onStatus = () => {} }) {
      const job = ++this.job, wanted = () => { if (job !== this.job) throw aborted(); };
      await this.ready;
      wanted();
      const [first] = this.cores, { bake } = this;
      const { planes, codes } = await this.head(mask, style, drawing ? drawing.edit : edit, wanted);
      const [drawn, added] = drawing ? await first.call("draw", { codes, drawing }) : [codes, null];
      wanted();
      if (added) onEdit(added);
      await this.load(drawn, RUN, wanted);
      const [size, ...finer] = bake.sizes, all = Int32Array.from({ length: size ** 3 }, (_, i) => i);
      const [texels, labels] = await this.evaluate(all, size, bake.half, wanted);
      const scale = sem2nerf.baking.scaleOf(texels, bake);
      const volume = (size, rgba, labels, background) =>
        ({ size, half: bake.half, densityScale: scale, rgba, background, labels });
      let background = await this.background(bake.firstBackground, wanted);
      onVolume(volume(size, sem2nerf.baking.toBytes(texels, bake, scale), labels, background), STAGES[0]);
      first.call("oddities", { labels: mask.labels, width: mask.width, planes })
        .then(warnings => job === this.job && onStatus({ warnings }));
      const middle = await first.call("middle", { texels, labels, size });
      wanted();
      const [densities] = await this.evaluate(middle.texels, middle.size, bake.half, wanted, true);
      const parts = await first.call("choose", { ...middle, densities, sizes: finer });
      wanted();
      background = await this.background(bake.background, wanted);
      for (const [stage, fine] of finer.entries()) {
        if (stage) await pause(IDLE_MS);
        wanted();
        const [values, labels] = await this.evaluate(parts[stage], fine, bake.half, wanted);
        const found = { values, labels, texels: parts[stage], size: fine, scale };
        const finished = await first.call("finish", found, [values.buffer]);
        wanted();
        onVolume(volume(fine, ...finished, background), STAGES[stage + 1]);
      }
    }

    /**
     * The label map of a view, to draw on, in labels of mask files; see web/editor/editor.js. Goes on beside a run.
     */
    async map({ pose, style, edit, ...mask }, { signal, onProgress = () => {} } = {}) {
      const wanted = () => signal?.throwIfAborted(), size = this.about.edits.map;
      await this.ready;
      wanted();
      const { codes } = await this.head(mask, style, edit, wanted);
      await this.load(codes, MAP, wanted);
      const labels = await sem2nerf.labelMap(this, MAP, pose, size, wanted, onProgress);
      return { labels: labels.map(label => this.mapLabels[label]), width: size, height: size };
    }

    /** Planes of a mask, and the codes of its head. */
    async head({ labels, width, height }, style, edit, wanted) {
      const [first] = this.cores, planes = await first.call("prepare", { labels, width, height });
      wanted();
      const codes = await first.call("codes", { planes, style, edit });
      wanted();
      return { planes, codes };
    }

    /** The field of a head on all cores. */
    async load(codes, name, wanted) {
      const field = await this.cores[0].call("makeField", codes);
      wanted();
      await Promise.all(this.cores.map(core => core.call("keepField", { name, field })));
    }

    /** `act(core, start, end)` for portions of a work, one after the other on every core. */
    async shared(length, portion, wanted, act) {
      let from = 0;
      await Promise.all(this.cores.map(async core => {
        while (from < length) {
          wanted();
          const start = from;
          from = Math.min(start + portion, length);
          await act(core, start, from);
        }
      }));
      wanted();
    }

    /** [values, labels] at texels of a cube, by all cores, see core.js. */
    async evaluate(texels, size, half, wanted, shapeOnly = false) {
      const channels = shapeOnly ? 1 : 4, values = new Float32Array(channels * texels.length), labels = new Uint8Array(texels.length);
      let labelled = false;
      await this.shared(texels.length, CHUNK, wanted, async (core, start, end) => {
        const part = texels.slice(start, end), { softplus } = this.bake;
        const asked = { field: RUN, texels: part, size, half, softplus, shapeOnly };
        const [some, its] = await core.call("evaluate", asked, [part.buffer]);
        values.set(some, channels * start);
        if (its) labels.set(its, start);
        labelled ||= its !== null;
      });
      return [values, labelled ? labels : null];
    }

    async background(size, wanted) {
      const { bake, backgrounds } = this, half = bake.backgroundHalf;
      if (!backgrounds.has(size)) backgrounds.set(size, sem2nerf.baking.backgroundTexels(this, size));
      const texels = backgrounds.get(size), [values] = await this.evaluate(texels, size, half, wanted);
      return { size, half, rgb: sem2nerf.baking.backgroundBytes(values, texels, size, bake) };
    }

    /** A bundled mask. */
    async sample(name) { return this.readBytes(this.bytesOf(name)); }

    /** A mask file, read as inference reads it. */
    async read(file, options) { return this.readBytes(new Uint8Array(await file.arrayBuffer()), options); }

    async readBytes(bytes, options) {
      await this.ready;
      return sem2nerf.readMask(bytes, this.input, options);
    }

    dispose() {
      this.job++;
      for (const core of this.cores ?? []) core.end();
    }
  };
})();
