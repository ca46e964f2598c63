// A photograph below the mask, to trace. It stays in the page, unless somebody asks the engine for its mask or colours.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  /** Puts photographs on `board`; its controls are the page's #photo-bar. */
  sem2nerf.Photo = class Photo {
    constructor(board, find) {
      Object.assign(this, { board, find, image: null, file: null, lent: null, finds: false, x: 0, y: 0, scale: 1, grabbed: false });
      find("photo-cover").addEventListener("input", () => this.cover());
      find("photo-size").addEventListener("input", event => { this.scale = event.target.value / 100; this.draw(); });
      find("photo-grab").addEventListener("click", () => this.grab(!this.grabbed));
      find("photo-away").addEventListener("click", () => this.remove());
      board.addEventListener("size", () => this.draw());
    }

    /** Show an image file. Throws where it is none. */
    async load(file) {
      let image;
      try { image = await createImageBitmap(file); } catch { throw new Error(`${file.name ?? "this file"} is no picture that this browser can show`); }
      if (this.lent) { this.lent.image?.close(); this.lent = { image, file, x: 0, y: 0, scale: 1 }; return; }
      this.image?.close();
      Object.assign(this, { image, file, x: 0, y: 0, scale: 1 });
      this.find("photo-size").value = 100;
      this.showBar("Photograph");
    }

    /** Another picture in its place for a while: a canvas with what the head looks like, which fits the sheet. */
    lend(image) {
      const { x, y, scale, file } = this, own = this.image;
      this.lent = { image: own, file, x, y, scale };
      Object.assign(this, { image, file: null, x: 0, y: 0, scale: 1 });
      this.showBar("View");
    }

    giveBack() {
      if (!this.lent) return;
      Object.assign(this, this.lent);
      this.lent = null;
      this.find("photo-size").value = 100 * this.scale;
      this.grab(false);
      this.showBar("Photograph");
    }

    showBar(words) {
      const { find } = this;
      find("photo-words").textContent = words;
      find("photo-bar").hidden = !this.image;
      for (const id of ["photo-size-line", "photo-grab", "photo-away", "photo-mask"]) find(id).hidden = Boolean(this.lent);
      if (!this.finds) find("photo-mask").hidden = true;
      this.cover();
      this.draw();
    }

    remove() {
      this.image?.close();
      this.image = this.file = null;
      this.grab(false);
      this.showBar("Photograph");
    }

    grab(grabbed) {
      this.grabbed = grabbed;
      this.find("photo-grab").setAttribute("aria-pressed", grabbed);
      this.board.root.classList.toggle("grabs", grabbed);
    }

    /** Move the photograph by pixels of the screen; says whether it is the photograph that the hand moves. */
    moveBy(dx, dy) {
      if (!this.grabbed || !this.image) return false;
      this.x += dx / this.board.scale;
      this.y += dy / this.board.scale;
      this.draw();
      return true;
    }

    cover() {
      this.board.canvas.style.opacity = this.image ? this.find("photo-cover").value / 100 : 1;
    }

    draw() {
      const { photo } = this.board, context = photo.getContext("2d");
      context.clearRect(0, 0, photo.width, photo.height);
      if (!this.image) return;
      const fit = Math.max(photo.width / this.image.width, photo.height / this.image.height) * this.scale;
      const wide = this.image.width * fit, high = this.image.height * fit;
      context.drawImage(this.image, (photo.width - wide) / 2 + this.x, (photo.height - high) / 2 + this.y, wide, high);
    }
  };
})();
