// Encoder's output -> FiLM codes -> the field of one scene, as plain sine layers. See models/sem2nerf.py,
// models/pigan/siren.py and models/pigan/fast/fold.py.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const SLOPE = 0.2;  // of the leaky ReLUs in the mapping network

  /** z -> raw codes: the frequencies of all layers, then their phase shifts. */
  function mapped(model, kernels, z) {
    let x = z;
    model.field.mapping.forEach((name, index, all) => {
      x = kernels.linear(x, 1, model.layer(name));
      if (index < all.length - 1) x = x.map(value => value < 0 ? SLOPE * value : value);
    });
    return x;
  }

  /** Codes that the encoder's output stands for: it is a z, or those codes; relative to the mean code, or not. */
  function codesOf(model, kernels, out) {
    const codes = model.codes.encoderPredictsZ ? mapped(model, kernels, out) : out.slice();
    const mean = model.weights.mean_code;
    if (mean) for (let i = 0; i < codes.length; i++) codes[i] += mean[i];
    return codes;
  }

  /** Codes of a random z. */
  function styleCodes(model, kernels, seed) {
    return mapped(model, kernels, sem2nerf.randn(seed, model.field.zDim));
  }

  /** Codes with those of some layers taken from others. */
  function withLayersFrom(codes, others, layers, width) {
    const out = codes.slice(), half = codes.length / 2;
    for (const layer of layers) for (const start of [layer * width, half + layer * width])
      out.set(others.subarray(start, start + width), start);
    return out;
  }

  /** Codes of some layers alone, each half for itself, as codes of all; 0 in the others. */
  function spreadOut(codes, layers, width, count) {
    const out = new Float32Array(count), half = codes.length / 2;
    layers.forEach((layer, i) => {
      for (const [to, from] of [[0, 0], [count / 2, half]])
        out.set(codes.subarray(from + i * width, from + (i + 1) * width), to + layer * width);
    });
    return out;
  }

  /** FiLM is affine before its sine: sin(f (W x + b) + p) = sin((f W) x + (f b + p)). */
  function fold(model, codes) {
    const { width, boxScale, frequencyScale, frequencyOffset, direction } = model.field, half = codes.length / 2;
    const sines = model.field.sines.map((name, l, all) => {
      // the direction is the colour layer's first inputs
      const layer = model.layer(name), skip = l === all.length - 1 ? direction.length : 0;
      const ins = layer.ins - skip, weight = new Float32Array(width * ins), bias = new Float32Array(width);
      for (let o = 0; o < width; o++) {
        const f = codes[l * width + o] * frequencyScale + frequencyOffset, scale = l ? f : f * boxScale;
        const from = o * layer.ins + skip;
        for (let i = 0; i < ins; i++) weight[o * ins + i] = scale * layer.weight[from + i];
        let b = layer.bias[o];
        for (let i = 0; i < skip; i++) b += layer.weight[o * layer.ins + i] * direction[i];
        bias[o] = f * b + codes[half + l * width + o];
      }
      return { weight, bias, ins, outs: width };
    });
    // copies: the model's own are parts of one large buffer, which a message to a worker would carry whole
    const copy = name => {
      const { weight, bias, ins, outs } = model.layer(name);
      return { weight: weight.slice(), bias: bias && bias.slice(), ins, outs };
    };
    // label logits are the sum of a product with the features of each of these sines, and a bias
    const semantics = model.semanticLayers.map(after => ({ after, layer: copy(`semantic.${after}`) }));
    return { sines, density: copy(model.field.density), colour: copy(model.field.colour), semantics,
             labelBias: model.weights["semantic.bias"]?.slice() };
  }

  Object.assign(sem2nerf, { codesOf, styleCodes, withLayersFrom, spreadOut, fold });
})();
