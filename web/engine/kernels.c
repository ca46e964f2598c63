// Matrix products on one core, in WebAssembly SIMD: nearly all arithmetic of encoder and field. build.sh makes
// kernels.wasm of it; wasm_kernels.js decides what lies where in the module's memory, from `heap` on.
#include <wasm_simd128.h>

#define API(name) __attribute__((export_name(name)))
#define ROWS 4   // a tile of 4 x 8 sums, two columns of weights and one input: what fits into 16 registers
#define QUADS 2  // columns of a tile, four at a time

extern unsigned char __heap_base;
API("heap") unsigned char *heap(void) { return &__heap_base; }

// sin(x) for |x| up to some thousands, error below 1e-6: reduced to +-pi, then an odd polynomial on +-pi/2.
static inline v128_t sine(v128_t x) {
  v128_t turns = wasm_f32x4_nearest(wasm_f32x4_mul(x, wasm_f32x4_splat(0.15915494f)));
  x = wasm_f32x4_sub(x, wasm_f32x4_mul(turns, wasm_f32x4_splat(6.28125f)));  // 2 pi in two parts
  x = wasm_f32x4_sub(x, wasm_f32x4_mul(turns, wasm_f32x4_splat(0.0019353072f)));
  v128_t sign = wasm_v128_and(x, wasm_i32x4_splat((int)0x80000000)), m = wasm_f32x4_abs(x);
  m = wasm_f32x4_pmin(m, wasm_f32x4_sub(wasm_f32x4_splat(3.14159265f), m));
  v128_t q = wasm_f32x4_mul(m, m), p = wasm_f32x4_splat(2.6083159809e-6f);
  p = wasm_f32x4_add(wasm_f32x4_mul(p, q), wasm_f32x4_splat(-1.9810690719e-4f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, q), wasm_f32x4_splat(8.3330785855e-3f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, q), wasm_f32x4_splat(-1.6666659712e-1f));
  p = wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_mul(p, q), m), m);
  return wasm_v128_xor(p, sign);
}

// y[n][outs] = x[n][ins] w + bias[outs], then the sine of it if `through`. n is a multiple of 4, outs of 8. The weights
// lie as the loops read them, w[outs / 8][ins][8]: rows of a whole matrix would share few lines of the cache.
API("product") void product(const float *x, int ins, const float *w, int outs, const float *bias, float *y, int n,
                            int through) {
  for (int o = 0; o < outs; o += 4 * QUADS)
    for (int t = 0; t < n; t += ROWS) {
      v128_t sum[ROWS][QUADS];
      for (int c = 0; c < QUADS; c++)
        for (int r = 0; r < ROWS; r++) sum[r][c] = wasm_v128_load(bias + o + 4 * c);
      const float *rows = x + t * ins, *column = w + o * ins;
      for (int i = 0; i < ins; i++, column += 4 * QUADS) {
        v128_t weight[QUADS];
        for (int c = 0; c < QUADS; c++) weight[c] = wasm_v128_load(column + 4 * c);
        for (int r = 0; r < ROWS; r++) {
          v128_t v = wasm_v128_load32_splat(rows + r * ins + i);
          for (int c = 0; c < QUADS; c++) sum[r][c] = wasm_f32x4_add(sum[r][c], wasm_f32x4_mul(v, weight[c]));
        }
      }
      for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < QUADS; c++)
          wasm_v128_store(y + (t + r) * outs + o + 4 * c, through ? sine(sum[r][c]) : sum[r][c]);
    }
}
