// From a finished stroke to a head: asks the engine, shows volumes as they come, says how long they took and what is wrong.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const PATIENCE = 400;   // milliseconds

  const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

  /** Keeps the head up to date. Fires "picture" ({detail: {size, ms, first}}) for every volume that is on the screen. */
  sem2nerf.Live = class Live extends EventTarget {
    constructor({ engine, head, state, notices, find, onEdit }) {
      super();
      Object.assign(this, { engine, head, state, notices, find, onEdit, runs: 0, stopped: 0, firstPicture: null });
    }

    /** Nothing that was asked for is wanted any more. */
    stop() {
      this.stopped = ++this.runs;
      this.engine.stop?.();
      this.find("head").removeAttribute("aria-busy");
    }

    /** Make the head of what is painted now; of what was asked for before, only a first picture is wanted any more. It is
     *  waited for a little: else whoever paints faster than pictures come would see none. Resolves to whether the head was
     *  made. */
    async update(state = this.state(), onProgress = () => {}) {
      let made = false;
      const run = ++this.runs, start = performance.now(), seen = [], isNewest = () => run === this.runs;
      this.find("head").setAttribute("aria-busy", "true");
      await Promise.race([this.firstPicture, pause(PATIENCE)]);
      if (!isNewest()) return false;
      let firstPictureCame;
      this.firstPicture = new Promise(resolve => { firstPictureCame = resolve; });
      try {
        await this.engine.run(state, {
          onVolume: async volume => {
            firstPictureCame();
            if (this.stopped > run || (!isNewest() && seen.length)) return;
            this.notices.clear("run");
            const first = !seen.length;
            seen.push(volume.size);
            made = true;
            await this.head.show(volume, first);
            const ms = Math.round(performance.now() - start);
            this.dispatchEvent(new CustomEvent("picture", { detail: { run, size: volume.size, ms, first } }));
            const after = `after ${(ms / 1000).toFixed(2)} s`;
            if (isNewest()) this.say(first ? `first picture ${after}` : `${this.words}, ${volume.size} texels ${after}`, first);
          },
          onEdit: bytes => { if (isNewest()) this.onEdit(bytes); },
          onStatus: status => {
            if (isNewest() && status?.progress !== undefined) onProgress(status.progress);
            if (isNewest() && status?.words) this.notices.warn("odd", status.words);
            if (!isNewest() || !status?.warnings) return;
            if (status.warnings.length) this.notices.warn("odd", `This mask: ${status.warnings.join("; ")}`);
            else this.notices.clear("odd");
          },
        });
      } catch (error) {
        if (isNewest() && error.name !== "AbortError" && !error.offline) this.notices.warn("run", error.message[0].toUpperCase() + error.message.slice(1));
      } finally {
        firstPictureCame();
        if (isNewest()) {
          this.find("head").removeAttribute("aria-busy");
          this.dispatchEvent(new CustomEvent("settled", { detail: { run } }));
        }
      }
      return made && isNewest();
    }

    say(words, first) {
      if (first) this.words = words;
      this.find("status").textContent = words;
    }
  };
})();
