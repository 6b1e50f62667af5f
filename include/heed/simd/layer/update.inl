// Part of kernels.inl: an optimizer's step over a parameter's numbers, in one pass.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// Σ x², in double, in the order of row_sum.
template <class T>
double sum_squares(const T* x, Index size) {
  return row_sum<true>(x, size, 0.0);
}

// One register of Adam, train/adam.hpp: products are rounded by themselves on every instruction
// set, so the bits are everywhere the same.
template <class R>
HEED_INLINE void adam_register(const AdamFactors<R>& by, R* p, const R* g, R* m, R* v) {
  const Vec<R> value = load(p);
  const Vec<R> slope = load(g) + opaque(value * by.decay);
  const Vec<R> mean = opaque(load(m) * by.beta1) + opaque(slope * by.rest1);
  const Vec<R> square = opaque(load(v) * by.beta2) + opaque(opaque(slope * slope) * by.rest2);
  store(m, mean);
  store(v, square);
  store(p, opaque(value * by.shrink) -
               mean * by.size / (opaque(square_root(square) * by.unbias) + by.eps));
}

// p steps against g; m and v are the moments.
template <class R>
void adam(const AdamFactors<R>& by, R* p, const R* g, R* m, R* v, Index size) {
  constexpr int lanes = vl<R>;
  Index n = 0;
  for (; n + lanes <= size; n += lanes) adam_register(by, p + n, g + n, m + n, v + n);
  Array<R, lanes> last[4] = {};
  R* const to[] = {p + n, m + n, v + n};
  for (Index lane = 0; n + lane < size; ++lane) {
    for (int x = 0; x < 3; ++x) last[x][lane] = to[x][lane];
    last[3][lane] = g[n + lane];
  }
  if (n < size) adam_register(by, last[0], last[3], last[1], last[2]);
  for (Index lane = 0; n + lane < size; ++lane) {
    for (int x = 0; x < 3; ++x) to[x][lane] = last[x][lane];
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
