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

// Registers of a parameter and its moments.
template <class R>
struct AdamRegisters {
  Vec<R> p, m, v;
};

// One register of Adam, train/adam.hpp: products are rounded by themselves on every instruction
// set, so the bits are everywhere the same.
template <class R>
HEED_INLINE AdamRegisters<R> adam_register(const AdamFactors<R>& by, Vec<R> g, Vec<R> p, Vec<R> m,
                                           Vec<R> v) {
  const Vec<R> slope = g + opaque(p * by.decay);
  const Vec<R> mean = opaque(m * by.beta1) + opaque(slope * by.rest1);
  const Vec<R> square = opaque(v * by.beta2) + opaque(opaque(slope * slope) * by.rest2);
  const Vec<R> root = opaque(square_root(square) * by.unbias) + by.eps;
  return {opaque(p * by.shrink) - mean * by.size / root, mean, square};
}

// p steps against g; m and v are the moments.
template <class R>
void adam(const AdamFactors<R>& by, R* p, const R* g, R* m, R* v, Index size) {
  Index n = 0;
  for (; n + vl<R> <= size; n += vl<R>) {
    const auto next = adam_register<R>(by, load(g + n), load(p + n), load(m + n), load(v + n));
    store(p + n, next.p);
    store(m + n, next.m);
    store(v + n, next.v);
  }
  const Index left = size - n;
  if (left == 0) return;
  const auto last =
      adam_register<R>(by, load_some_as<R>(g + n, 1, left), load_some_as<R>(p + n, 1, left),
                       load_some_as<R>(m + n, 1, left), load_some_as<R>(v + n, 1, left));
  const Vec<R> last_p = last.p, last_m = last.m, last_v = last.v;
  for (Index lane = 0; lane < left; ++lane) {
    p[n + lane] = last_p[lane];
    m[n + lane] = last_m[lane];
    v[n + lane] = last_v[lane];
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
