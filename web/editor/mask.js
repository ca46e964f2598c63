// The mask that is painted: labels, how they change, and the way back. Knows nothing of the page.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  const REMEMBERED = 48 << 20;   // bytes of earlier states that are kept

  /** Labels of `width` x `height` pixels. Fires "change" ({detail: rectangle}) for every change and "done" for every
   *  change that is finished, such as a stroke. */
  sem2nerf.Mask = class Mask extends EventTarget {
    constructor(width = 512, height = 512) {
      super();
      this.width = width;
      this.height = height;
      this.labels = new Uint8Array(width * height);
      this.past = [];
      this.future = [];
      this.before = null;        // labels as they were when the change in progress began
      this.touched = null;       // the rectangle that it has changed
    }

    get canUndo() { return this.past.length > 0; }
    get canRedo() { return this.future.length > 0; }
    at(x, y) { return this.labels[y * this.width + x]; }
    holds(x, y) { return x >= 0 && y >= 0 && x < this.width && y < this.height; }

    /** Begin a change that `finish` ends and `revert` takes back. */
    begin() {
      this.before ??= this.labels.slice();
      this.touched ??= { left: Infinity, top: Infinity, right: -1, bottom: -1 };
    }

    /** End the change in progress; a change of nothing leaves no trace. */
    finish() {
      const { before, touched } = this;
      if (!before) return false;
      this.before = this.touched = null;
      if (touched.right < 0) return false;
      const step = { ...touched, before: this.cut(before, touched), after: this.cut(this.labels, touched) };
      if (step.before.every((value, index) => value === step.after[index])) return false;
      this.remember(step);
      return true;
    }

    /** As if the change in progress had never begun. */
    revert() {
      if (!this.before) return;
      const all = { left: 0, top: 0, right: this.width - 1, bottom: this.height - 1 };
      this.labels = this.before;
      this.before = this.touched = null;
      this.tell("change", all);
    }

    /** Another mask in place of this one; it can be undone. `act(0 or 1)` is called when it is undone, or done again. */
    replace({ labels, width, height }, act) {
      this.finish();
      const now = { labels: this.labels, width: this.width, height: this.height };
      const next = { labels: labels.slice(), width, height };
      this.put(next);
      this.remember({ whole: [now, next], act });
    }

    /** The same without a trace: the first mask of a page. */
    put({ labels, width, height }) {
      if (labels.length !== width * height) throw new Error("labels and size do not fit together");
      Object.assign(this, { labels: labels.slice(), width, height });
      this.tell("change", null);
    }

    undo() { this.travel(this.past, this.future, 0); }
    redo() { this.travel(this.future, this.past, 1); }

    travel(from, to, side) {
      this.finish();
      const step = from.pop();
      if (!step) return;
      to.push(step);
      step.act?.(side);
      if (step.whole) {
        this.put(step.whole[side]);
      } else if (step.before) {
        this.paste(side ? step.after : step.before, step);
        this.tell("change", step);
      }
      this.tell("done");
    }

    /** All pixels within `radius` of the line from one point to another. Coordinates in pixels; pixel 0 is 0 to 1. */
    line(x0, y0, x1, y1, radius, label) {
      const reach = Math.max(radius, 0.5), dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
      const left = Math.max(0, Math.floor(Math.min(x0, x1) - reach)), right = Math.min(this.width - 1, Math.floor(Math.max(x0, x1) + reach));
      const top = Math.max(0, Math.floor(Math.min(y0, y1) - reach)), bottom = Math.min(this.height - 1, Math.floor(Math.max(y0, y1) + reach));
      if (left > right || top > bottom) return;
      for (let y = top; y <= bottom; y++) {
        for (let x = left; x <= right; x++) {
          const px = x + 0.5 - x0, py = y + 0.5 - y0;
          const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
          if ((px - along * dx) ** 2 + (py - along * dy) ** 2 <= reach * reach) this.labels[y * this.width + x] = label;
        }
      }
      this.touch({ left, top, right, bottom });
    }

    /** All pixels inside of a closed line (its winding number is not 0), which leads through `points`. */
    inside(points, label) {
      const ends = points.map((point, index) => [point, points[(index + 1) % points.length]]).filter(([a, b]) => a[1] !== b[1]);
      const low = Math.max(0, Math.floor(Math.min(...points.map(point => point[1])))), area = { left: this.width, top: low, right: -1, bottom: low - 1 };
      const high = Math.min(this.height - 1, Math.floor(Math.max(...points.map(point => point[1]))));
      for (let y = low; y <= high; y++) {
        const middle = y + 0.5, crossings = [];
        for (const [[ax, ay], [bx, by]] of ends) {
          if ((ay <= middle) !== (by <= middle)) crossings.push([ax + (middle - ay) / (by - ay) * (bx - ax), ay < by ? 1 : -1]);
        }
        crossings.sort((one, other) => one[0] - other[0]);
        let winding = 0;
        for (const [index, [x, turn]] of crossings.entries()) {
          winding += turn;
          if (!winding) continue;
          const from = Math.max(0, Math.ceil(x - 0.5)), to = Math.min(this.width, Math.ceil(crossings[index + 1][0] - 0.5));
          if (from >= to) continue;
          this.labels.fill(label, y * this.width + from, y * this.width + to);
          Object.assign(area, { left: Math.min(area.left, from), right: Math.max(area.right, to - 1), bottom: y });
        }
      }
      if (area.right >= 0) this.touch(area);
    }

    /** The connected area of one label around a pixel. */
    fill(x, y, label) {
      const { labels, width, height } = this, old = this.at(x, y), stack = [y * width + x];
      if (old === label) return;
      const area = { left: x, top: y, right: x, bottom: y };
      while (stack.length) {
        const at = stack.pop(), row = Math.floor(at / width) * width;
        if (labels[at] !== old) continue;
        let from = at, to = at;
        while (from > row && labels[from - 1] === old) from--;
        while (to < row + width - 1 && labels[to + 1] === old) to++;
        labels.fill(label, from, to + 1);
        for (const next of [from - width, from + width]) {
          if (next < 0 || next >= width * height) continue;
          for (let i = 0; i <= to - from; i++) {
            if (labels[next + i] === old && (i === 0 || labels[next + i - 1] !== old)) stack.push(next + i);
          }
        }
        area.left = Math.min(area.left, from - row);
        area.right = Math.max(area.right, to - row);
        area.top = Math.min(area.top, row / width);
        area.bottom = Math.max(area.bottom, row / width);
      }
      this.touch(area);
    }

    /** The mirror image; `table` says what each label becomes. */
    flip(table) {
      const { width, height, labels } = this, old = labels.slice();
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) labels[y * width + x] = table[old[y * width + width - 1 - x]];
      }
      this.touch({ left: 0, top: 0, right: width - 1, bottom: height - 1 });
    }

    /** Every pixel gets one label. */
    clear(label = 0) {
      this.labels.fill(label);
      this.touch({ left: 0, top: 0, right: this.width - 1, bottom: this.height - 1 });
    }

    /** One whole change: what `paint` does. */
    change(paint) {
      this.finish();
      this.begin();
      paint(this);
      if (this.finish()) this.tell("done");
    }

    touch(area) {
      const all = this.touched;
      if (all) {
        all.left = Math.min(all.left, area.left);
        all.top = Math.min(all.top, area.top);
        all.right = Math.max(all.right, area.right);
        all.bottom = Math.max(all.bottom, area.bottom);
      }
      this.tell("change", area);
    }

    cut(labels, { left, top, right, bottom }) {
      const wide = right - left + 1, out = new Uint8Array(wide * (bottom - top + 1));
      for (let y = top; y <= bottom; y++) {
        out.set(labels.subarray(y * this.width + left, y * this.width + right + 1), (y - top) * wide);
      }
      return out;
    }

    paste(values, { left, top, right, bottom }) {
      const wide = right - left + 1;
      for (let y = top; y <= bottom; y++) {
        this.labels.set(values.subarray((y - top) * wide, (y - top + 1) * wide), y * this.width + left);
      }
    }

    remember(step) {
      this.past.push(step);
      this.future = [];
      const bytes = one => one.bytes ?? (one.whole ? one.whole[0].labels.length + one.whole[1].labels.length : 2 * one.before.length);
      let total = this.past.reduce((sum, one) => sum + bytes(one), 0);
      while (total > REMEMBERED && this.past.length > 1) total -= bytes(this.past.shift());
    }

    tell(kind, detail) { this.dispatchEvent(new CustomEvent(kind, { detail })); }
  };
})();
