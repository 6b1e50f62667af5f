// Operations of kernels.inl in AVX-512 (F, BW, DQ, VL), without the shape of a tile.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512
#include "heed/simd/target/alone.inl"
#endif

template <class R>
inline constexpr int vl = 64 / sizeof(R);
template <class R>
using Vec = typename Register<R, vl<R>>::type;

using Words64 = Register<std::uint64_t, vl<double>>::type;

template <class V>
HEED_INLINE V opaque(V v) {
  asm("" : "+v"(v));
  return v;
}

#if HEED_X86_BUILTINS
// Every lane is on, and the rounding is that of the thread.
inline constexpr int current_rounding = 4;
inline constexpr short all_floats = -1;
inline constexpr unsigned char all_doubles = 0xff;
using Halves256 = Register<std::int16_t, vl<float>>;

HEED_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return __builtin_ia32_vfmaddps512_mask(a, b, c, all_floats, current_rounding);
}
HEED_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return __builtin_ia32_vfmaddpd512_mask(a, b, c, all_doubles, current_rounding);
}
HEED_INLINE Vec<float> maximum(Vec<float> a, Vec<float> b) {
  return __builtin_ia32_maxps512_mask(a, b, Vec<float>{}, all_floats, current_rounding);
}
HEED_INLINE Vec<double> maximum(Vec<double> a, Vec<double> b) {
  return __builtin_ia32_maxpd512_mask(a, b, Vec<double>{}, all_doubles, current_rounding);
}

HEED_INLINE Vec<float> square_root(Vec<float> v) {
  return __builtin_ia32_sqrtps512_mask(v, Vec<float>{}, all_floats, current_rounding);
}
HEED_INLINE Vec<double> square_root(Vec<double> v) {
  return __builtin_ia32_sqrtpd512_mask(v, Vec<double>{}, static_cast<char>(-1), current_rounding);
}

HEED_INLINE Words64 multiply_words(Words64 a, Words64 b) {
  using Ints = Register<std::int32_t, vl<float>>::type;
  using Products = Register<long long, vl<double>>::type;
  return (Words64)__builtin_ia32_pmuludq512_mask((Ints)a, (Ints)b, Products{}, all_doubles);
}

HEED_INLINE Vec<float> from_half(const void* p) {
  return __builtin_ia32_vcvtph2ps512_mask(*static_cast<const Halves256::unaligned*>(p),
                                          Vec<float>{}, all_floats, current_rounding);
}
HEED_INLINE void to_half(Vec<float> v, void* p) {
  constexpr int to_nearest_without_flags = 8;
  *static_cast<Halves256::unaligned*>(p) =
      __builtin_ia32_vcvtps2ph512_mask(v, to_nearest_without_flags, Halves256::type{}, 0xffff);
}
#else
HEED_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return _mm512_fmadd_ps(a, b, c);
}
HEED_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm512_fmadd_pd(a, b, c);
}
// The masked forms with every lane on: the plain ones start from an undefined register, which
// g++ 12 warns about wherever they are inlined.
HEED_INLINE Vec<float> maximum(Vec<float> a, Vec<float> b) {
  return _mm512_maskz_max_ps(0xffff, a, b);
}
HEED_INLINE Vec<double> maximum(Vec<double> a, Vec<double> b) {
  return _mm512_maskz_max_pd(0xff, a, b);
}

HEED_INLINE Vec<float> square_root(Vec<float> v) { return _mm512_maskz_sqrt_ps(0xffff, v); }
HEED_INLINE Vec<double> square_root(Vec<double> v) { return _mm512_maskz_sqrt_pd(0xff, v); }

HEED_INLINE Words64 multiply_words(Words64 a, Words64 b) {
  return (Words64)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
}

HEED_INLINE Vec<float> from_half(const void* p) {
  return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
HEED_INLINE void to_half(Vec<float> v, void* p) {
  _mm256_storeu_si256(
      static_cast<__m256i*>(p),
      _mm512_maskz_cvtps_ph(0xffff, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#endif

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
