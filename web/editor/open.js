// Files that are opened, dropped or pasted: masks go to the engine, which reads them as the command line does.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const LARGEST = 16 << 20;
  const ORDERS = sem2nerf.ORDERS = {
    celebamask: "CelebAMask-HQ", bisenet: "BiSeNet", facer: "facer, FaRL", facesynthetics: "FaceSynthetics", lapa: "LaPa",
    makeup: "Makeup Transfer",
  };
  const ENCODINGS = { auto: "found out", index: "label numbers", colour: "colours of the table" };

  const stem = name => (name ?? "").replace(/\.[^.]*$/, "").slice(0, 60) || "mask";

  /** `opened(name, mask)` is called with what was read; `notices` says what is odd or wrong. */
  sem2nerf.Opener = class Opener {
    constructor({ find, engine, about, notices, photo, opened }) {
      Object.assign(this, { find, engine, about, notices, photo, opened });
      find("file-open").addEventListener("click", () => find("file").click());
      find("photo-open").addEventListener("click", () => find("photo-file").click());
      for (const [id, act] of [["file", file => this.mask(file)], ["photo-file", file => this.picture(file)]]) {
        find(id).addEventListener("change", event => {
          const [file] = event.target.files;
          event.target.value = "";               // the same file may be chosen again
          if (file) act(file);
        });
      }
      photo.finds = Boolean(about.faces);
      find("photo-mask").addEventListener("click", () => this.face());
      this.listenForDrops(find("drop"));
    }

    listenForDrops(veil) {
      const carriesFiles = event => event.dataTransfer?.types.includes("Files");
      addEventListener("dragenter", event => { if (carriesFiles(event)) veil.hidden = false; });
      addEventListener("dragover", event => { if (carriesFiles(event)) event.preventDefault(); });
      veil.addEventListener("dragleave", () => { veil.hidden = true; });
      addEventListener("drop", event => {
        veil.hidden = true;
        if (!carriesFiles(event)) return;
        event.preventDefault();
        if (event.dataTransfer.files[0]) this.any(event.dataTransfer.files[0]);
      });
      addEventListener("paste", event => {
        const file = [...(event.clipboardData?.files ?? [])][0];
        if (file) this.any(file);
      });
    }

    /** A photograph by its kind, else a mask. */
    any(file) { return /^image\/(jpeg|webp|avif|heic)$/.test(file.type) ? this.picture(file) : this.mask(file); }

    async picture(file) {
      try { await this.photo.load(file); } catch (error) { this.notices.error("file", error.message); }
    }

    /** A mask of the photograph that lies below, which is aligned then. */
    async face() {
      const { file } = this.photo, button = this.find("photo-mask");
      this.notices.clear("file");
      button.disabled = true;
      try {
        const { picture, ...mask } = await this.engine.face(file);
        await this.photo.load(new File([picture], file.name ?? "photograph", { type: picture.type }));
        this.opened(stem(file.name), mask);
        if (mask.warnings.length) this.notices.warn("file", `${file.name}: ${mask.warnings.join("; ")}`);
      } catch (error) {
        this.notices.error("file", `There is no mask of this photograph: ${error.message}`);
      } finally { button.disabled = false; }
    }

    /** Read a mask, as `order` and `encoding` say; with the odd and the wrong these can be chosen anew. */
    async mask(file, order = this.about.orders?.[0], encoding = "auto") {
      this.notices.clear("file");
      if (file.size > LARGEST) { this.notices.error("file", `${file.name}: larger than ${LARGEST >> 20} MB`); return; }
      try {
        const mask = await this.engine.read(file, { order, encoding });
        this.opened(stem(file.name), mask);
        if (mask.warnings.length) this.notices.warn("file", `${file.name}: ${mask.warnings.join("; ")}`, this.choices(file, order, encoding));
      } catch (error) {
        const aside = [...this.choices(file, order, encoding), this.button("Use it as a photograph to trace", () => this.picture(file))];
        this.notices.error("file", `${file.name}: ${error.message}`, aside);
      }
    }

    choices(file, order, encoding) {
      const { orders = [], encodings = [] } = this.about, again = [];
      if (orders.length > 1) again.push(this.select("Label order", orders, ORDERS, order, value => this.mask(file, value, encoding)));
      if (encodings.length > 1) again.push(this.select("Encoding", encodings, ENCODINGS, encoding, value => this.mask(file, order, value)));
      return again;
    }

    select(words, values, names, chosen, act) {
      const label = document.createElement("label"), select = document.createElement("select");
      select.append(...values.map(value => new Option(names[value] ?? value, value, value === chosen, value === chosen)));
      select.addEventListener("change", () => act(select.value));
      label.append(`${words} `, select);
      return label;
    }

    button(words, act) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = words;
      button.addEventListener("click", () => { this.notices.clear("file"); act(); });
      return button;
    }
  };

  /** Lines for the user, one per `topic`, with buttons beside them. */
  sem2nerf.Notices = class Notices {
    constructor(root) {
      Object.assign(this, { root, lines: new Map() });
      addEventListener("close", event => { if (event.target.contains?.(root)) document.body.append(root); }, true);
    }

    warn(topic, text, aside = []) { this.put(topic, text, aside, "warning"); }
    error(topic, text, aside = []) { this.put(topic, text, aside, "error"); }

    put(topic, text, aside, kind) {
      if (this.lines.get(topic)?.dataset.text === text) return;
      this.clear(topic);
      (document.querySelector("dialog[open]") ?? document.body).append(this.root);   // what is open covers all else
      const line = document.createElement("div"), words = document.createElement("p"), close = document.createElement("button");
      line.className = `notice ${kind}`;
      line.dataset.text = text;
      line.dataset.topic = topic;
      line.setAttribute("role", kind === "error" ? "alert" : "status");
      words.textContent = text;
      Object.assign(close, { type: "button", textContent: "×", className: "round" });
      close.setAttribute("aria-label", "Close");
      close.addEventListener("click", () => this.clear(topic));
      line.append(words, ...aside, close);
      this.root.append(line);
      this.lines.set(topic, line);
    }

    clear(topic) {
      this.lines.get(topic)?.remove();
      this.lines.delete(topic);
    }
  };
})();
