// The encoder, a Swin transformer: planes of a mask -> z or FiLM codes. See models/encoders/swin.py, whose names of
// weights these are.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const EPSILON = 1e-5, MASKED = -100;

  /** Layer normalisation of each row. */
  function normalised(x, rows, width, weights, name) {
    const y = new Float32Array(rows * width), weight = weights[name + ".weight"], bias = weights[name + ".bias"];
    for (let start = 0; start < rows * width; start += width) {
      let sum = 0, squares = 0;
      for (let i = 0; i < width; i++) sum += x[start + i];
      const mean = sum / width;
      for (let i = 0; i < width; i++) { const off = x[start + i] - mean; squares += off * off; }
      const scale = 1 / Math.sqrt(squares / width + EPSILON);
      for (let i = 0; i < width; i++) y[start + i] = (x[start + i] - mean) * scale * weight[i] + bias[i];
    }
    return y;
  }

  /** x * Phi(x), in place; erf by Abramowitz and Stegun 7.1.26, error below 2e-7. */
  function gelu(x) {
    for (let i = 0; i < x.length; i++) {
      const v = x[i] * Math.SQRT1_2, t = 1 / (1 + 0.3275911 * Math.abs(v));
      const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
      const erf = 1 - series * Math.exp(-v * v);
      x[i] *= 0.5 * (1 + (v < 0 ? -erf : erf));
    }
    return x;
  }

  function add(x, y) { for (let i = 0; i < x.length; i++) x[i] += y[i]; }

  /** Rows of logits -> shares that sum to 1, in place. */
  function softmax(rows, length) {
    for (let start = 0; start < rows.length; start += length) {
      let most = -Infinity, sum = 0;
      for (let j = start; j < start + length; j++) if (rows[j] > most) most = rows[j];
      for (let j = start; j < start + length; j++) sum += rows[j] = Math.exp(rows[j] - most);
      for (let j = start; j < start + length; j++) rows[j] /= sum;
    }
  }

  /**
   * Which positions of the feature map each window holds, and what it adds to the logits.
   *
   * @returns {{at: Int32Array, region: Int32Array}[]} `at` is -1 in the padding; positions of different regions are no
   *   neighbours in the image
   */
  function windowsOf(side, window, shift) {
    const padded = Math.ceil(side / window) * window, found = [];
    const part = at => at < padded - window ? 0 : at < padded - shift ? 1 : 2;
    for (let top = 0; top < padded; top += window) for (let left = 0; left < padded; left += window) {
      const at = new Int32Array(window * window), region = new Int32Array(window * window);
      for (let i = 0; i < at.length; i++) {
        const row = top + Math.floor(i / window), column = left + i % window;
        // rolled by the shift first, then padded
        at[i] = row < side && column < side ? (row + shift) % side * side + (column + shift) % side : -1;
        region[i] = shift ? 3 * part(row) + part(column) : 0;
      }
      found.push({ at, region });
    }
    return found;
  }

  /** Bias of each pair of positions in a window, head by head. */
  function biasesOf(table, window, heads) {
    const n = window * window, out = new Float32Array(heads * n * n), middle = (window - 1) * 2 * window;
    const place = i => Math.floor(i / window) * (2 * window - 1) + i % window;
    for (let head = 0, to = 0; head < heads; head++) for (let i = 0; i < n; i++) for (let j = 0; j < n; j++, to++)
      out[to] = table[(middle + place(i) - place(j)) * heads + head];
    return out;
  }

  /** Attention inside windows: x [side][side][width] -> the same shape. */
  function attention(model, kernels, name, x, side, width, heads, shifted) {
    const window = Math.min(model.encoder.window, side), shift = shifted && side > window ? window >> 1 : 0;
    const n = window * window, dim = width / heads, scale = 1 / Math.sqrt(dim), inner = model.layer(name + ".qkv");
    const qkv = kernels.linear(x, side * side, inner), out = new Float32Array(side * side * width);
    const biases = model.once(name, () => biasesOf(model.weights[name + ".relative_position_bias_table"], window, heads));
    const windows = model.once(`windows ${side} ${window} ${shift}`, () => windowsOf(side, window, shift));
    const q = new Float32Array(n * dim), k = new Float32Array(n * dim), v = new Float32Array(dim * n);
    const keys = { weight: k, bias: null, ins: dim, outs: n }, values = { weight: v, bias: null, ins: n, outs: dim };
    for (const { at, region } of windows) for (let head = 0; head < heads; head++) {
      for (let i = 0; i < n; i++) {  // a position of zeros has the layer's bias
        const [from, start] = at[i] < 0 ? [inner.bias, head * dim] : [qkv, at[i] * 3 * width + head * dim];
        for (let c = 0; c < dim; c++) {
          q[i * dim + c] = from[start + c] * scale;
          k[i * dim + c] = from[start + width + c];
          v[c * n + i] = from[start + 2 * width + c];
        }
      }
      const scores = kernels.linear(q, n, keys, false);
      for (let i = 0, to = 0, bias = head * n * n; i < n; i++) for (let j = 0; j < n; j++, to++, bias++)
        scores[to] += region[i] === region[j] ? biases[bias] : biases[bias] + MASKED;
      softmax(scores, n);
      const mixed = kernels.linear(scores, n, values, false);
      for (let i = 0; i < n; i++)
        if (at[i] >= 0) out.set(mixed.subarray(i * dim, (i + 1) * dim), at[i] * width + head * dim);
    }
    return kernels.linear(out, side * side, model.layer(name + ".proj"));
  }

  /** The pixels of each patch as one row: one-hot labels, contour / 255, distance / 255, each [patch][patch]. */
  function patchesOf(model, { label, contour, distance, size }) {
    const { patch } = model.encoder, area = patch * patch, side = size / patch, labels = model.input.networkNames.length;
    const length = area * (labels + (contour ? 2 : 0)), out = new Float32Array(side * side * length);
    for (let t = 0; t < side * side; t++) for (let p = 0; p < area; p++) {
      const at = (Math.floor(t / side) * patch + Math.floor(p / patch)) * size + t % side * patch + p % patch;
      const to = t * length + p;
      out[to + label[at] * area] = 1;
      if (contour) out[to + labels * area] = contour[at] / 255;
      if (distance) out[to + (labels + 1) * area] = distance[at] / 255;
    }
    return out;
  }

  /** 2 x 2 neighbouring positions side by side, columns before rows. */
  function joined(x, side, width) {
    const half = side / 2, out = new Float32Array(x.length);
    for (let y = 0, to = 0; y < half; y++) for (let c = 0; c < half; c++) for (let k = 0; k < 4; k++, to += width) {
      const from = ((2 * y + (k & 1)) * side + 2 * c + (k >> 1)) * width;
      out.set(x.subarray(from, from + width), to);
    }
    return out;
  }

  /** Planes of a mask (see maps.js) -> the encoder's output. */
  function encode(model, kernels, planes) {
    const { weights, encoder } = model, linear = (x, rows, name) => kernels.linear(x, rows, model.layer(name));
    let side = encoder.inputSize / encoder.patch, width = weights["encoder.patch_embed.proj.bias"].length;
    let x = linear(patchesOf(model, planes), side * side, "encoder.patch_embed.proj");
    x = normalised(x, side * side, width, weights, "encoder.patch_embed.norm");
    encoder.depths.forEach((depth, stage) => {
      for (let block = 0; block < depth; block++) {
        const name = `encoder.layers.${stage}.blocks.${block}`, rows = side * side;
        const seen = normalised(x, rows, width, weights, name + ".norm1");
        add(x, attention(model, kernels, name + ".attn", seen, side, width, encoder.heads[stage], block % 2 === 1));
        const inner = linear(normalised(x, rows, width, weights, name + ".norm2"), rows, name + ".mlp.fc1");
        add(x, linear(gelu(inner), rows, name + ".mlp.fc2"));
      }
      if (stage === encoder.depths.length - 1) return;
      const down = `encoder.layers.${stage}.downsample`, rows = side * side / 4;
      x = linear(normalised(joined(x, side, width), rows, 4 * width, weights, down + ".norm"), rows, down + ".reduction");
      side /= 2;
      width *= 2;
    });
    x = normalised(x, side * side, width, weights, "encoder.norm");
    const mean = new Float64Array(width);
    for (let i = 0; i < x.length; i++) mean[i % width] += x[i] / (side * side);
    return linear(Float32Array.from(mean), 1, "encoder.head");
  }

  Object.assign(sem2nerf, { encode, softmax });
})();
