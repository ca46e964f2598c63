// PyTorch's normal numbers: randn(seed, count) is torch.manual_seed(seed); torch.randn(count) on a CPU.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const LENGTH = 624, SHIFT = 397;

  /** The Mersenne twister MT19937 (Matsumoto and Nishimura, 1998): a function that gives 32 random bits. */
  function twister(seed) {
    const state = new Uint32Array(LENGTH);
    state[0] = Number(BigInt.asUintN(32, BigInt(seed)));
    for (let i = 1; i < LENGTH; i++) state[i] = Math.imul(state[i - 1] ^ state[i - 1] >>> 30, 1812433253) + i;
    let used = LENGTH;
    return () => {
      if (used === LENGTH) {
        for (let i = 0; i < LENGTH; i++) {
          const y = state[i] & 0x80000000 | state[(i + 1) % LENGTH] & 0x7fffffff;
          state[i] = state[(i + SHIFT) % LENGTH] ^ y >>> 1 ^ (y & 1 ? 0x9908b0df : 0);
        }
        used = 0;
      }
      let y = state[used++];
      y ^= y >>> 11;
      y ^= y << 7 & 0x9d2c5680;
      y ^= y << 15 & 0xefc60000;
      return (y ^ y >>> 18) >>> 0;
    };
  }

  /** Box and Muller's pair for two uniform numbers of [0, 1). */
  function pair(first, second) {
    const radius = Math.sqrt(-2 * Math.log1p(-first)), angle = 2 * Math.PI * second;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  }

  function randn(seed, count) {
    const bits = twister(seed), out = new Float32Array(count);
    if (count < 16) {  // one after another, in double precision, each pair from two numbers of 53 bits
      const uniform = () => { const high = bits() % 2 ** 21; return (high * 2 ** 32 + bits()) * 2 ** -53; };
      for (let i = 0; i < count; i += 2) {
        const angle = uniform(), normal = pair(uniform(), angle);
        out[i] = normal[0];
        if (i + 1 < count) out[i + 1] = normal[1];
      }
      return out;
    }
    // in blocks of 16, of which number j and number j + 8 become a pair; an incomplete last one is drawn anew, together
    // with the end of the block before
    const fill = start => { for (let i = start; i < count; i++) out[i] = bits() % 2 ** 24 * 2 ** -24; };
    const transform = start => {
      for (let j = start; j < start + 8; j++) [out[j], out[j + 8]] = pair(out[j], out[j + 8]);
    };
    fill(0);
    for (let start = 0; start + 16 <= count; start += 16) transform(start);
    if (count % 16) { fill(count - 16); transform(count - 16); }
    return out;
  }

  sem2nerf.randn = randn;
})();
