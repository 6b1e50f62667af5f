// Part of kernels.inl: the end of a softmax, for tiles of any MR.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// log2 of a positive number; NaN for NaN.
HEED_INLINE Vec<float> log2(Vec<float> x) {
  using Signed = typename Register<std::int32_t, vl<float>>::type;
  constexpr auto half_root = __builtin_bit_cast(std::int32_t, Log2::half_root);
  const Signed exponent = ((Signed)x - half_root) >> 23;
  const Vec<float> t = (Vec<float>)((Signed)x - (exponent << 23)) - 1.0F;
  Vec<float> y = broadcast(Log2::polynomial[0]);
#pragma GCC unroll 16
  for (int k = 1; k < Log2::terms; ++k) y = fma(y, t, broadcast(Log2::polynomial[k]));
  y = fma(y, t, __builtin_convertvector(exponent, Vec<float>));
  return fma(x, Vec<float>{}, y);
}
HEED_INLINE Vec<double> log2(Vec<double> x) {
  for (int n = 0; n < vl<double>; ++n) x[n] = __builtin_log2(x[n]);
  return x;
}

// Finalises rows: max becomes the natural log-sum-exp, sum becomes 1 / sum; −inf and 0 for a fully
// masked row.
template <class R>
void finalize_rows(R* max, R* sum, Index count) {
  constexpr R ln_2 = static_cast<R>(0.693147180559945309417232121458L);
  using Bits = typename Register<BitsOf<R>, vl<R>>::type;
  for (Index first = 0; first < count; first += vl<R>) {
    const Index left = count - first;
    const Vec<R> sums = load_some_as<R>(sum + first, 1, left);
    const auto fully_masked = sums == Vec<R>{};
    const auto lone = sums == broadcast(R(1));  // -ffast-math divides less exactly
    const Vec<R> lse = fma(log2(sums), broadcast(ln_2), load_some_as<R>(max + first, 1, left));
    const Vec<R> closed = (Vec<R>)(fully_masked ? Bits{} + masked_bits<R> : (Bits)lse);
    const Vec<R> factor = (Vec<R>)(fully_masked ? Bits{} : (Bits)(lone ? sums : R(1) / sums));
    for (Index n = 0; n < left && n < vl<R>; ++n) {
      max[first + n] = closed[n];
      sum[first + n] = factor[n];
    }
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
