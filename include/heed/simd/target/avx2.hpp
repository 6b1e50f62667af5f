// Kernels in AVX2, FMA and F16C.
#pragma once

#include "heed/simd/isa.hpp"
#include "heed/simd/table.hpp"

#if HEED_X86
#include "heed/simd/target/intrinsics.hpp"

#define HEED_TARGET "avx2,fma,f16c"
#include "heed/simd/target/begin.inl"

namespace heed::simd {
inline namespace HEED_ABI {
namespace avx2 {

inline constexpr Isa target_isa = Isa::avx2;

template <class R>
inline constexpr int vl = 32 / sizeof(R);
template <class R>
using Vec = typename Register<R, vl<R>>::type;

// 12 sums, 2 registers of keys and 1 of queries out of 16.
template <class R>
inline constexpr int mr = 6;
template <class R>
inline constexpr int vectors = 2;

using Words64 = Register<std::uint64_t, vl<double>>::type;

template <class V>
HEED_INLINE V opaque(V v) {
  asm("" : "+x"(v));
  return v;
}

#if HEED_X86_BUILTINS
using Halves128 = Register<std::int16_t, vl<float>>;

HEED_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return __builtin_ia32_vfmaddps256(a, b, c);
}
HEED_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return __builtin_ia32_vfmaddpd256(a, b, c);
}
HEED_INLINE Vec<float> maximum(Vec<float> a, Vec<float> b) { return __builtin_ia32_maxps256(a, b); }
HEED_INLINE Vec<double> maximum(Vec<double> a, Vec<double> b) {
  return __builtin_ia32_maxpd256(a, b);
}

HEED_INLINE Vec<float> square_root(Vec<float> v) { return __builtin_ia32_sqrtps256(v); }
HEED_INLINE Vec<double> square_root(Vec<double> v) { return __builtin_ia32_sqrtpd256(v); }

HEED_INLINE Words64 multiply_words(Words64 a, Words64 b) {
  using Ints = Register<std::int32_t, vl<float>>::type;
  return (Words64)__builtin_ia32_pmuludq256((Ints)a, (Ints)b);
}

HEED_INLINE Vec<float> from_half(const void* p) {
  return __builtin_ia32_vcvtph2ps256(*static_cast<const Halves128::unaligned*>(p));
}
HEED_INLINE void to_half(Vec<float> v, void* p) {
  constexpr int to_nearest_without_flags = 8;
  *static_cast<Halves128::unaligned*>(p) = __builtin_ia32_vcvtps2ph256(v, to_nearest_without_flags);
}
#else
HEED_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return _mm256_fmadd_ps(a, b, c);
}
HEED_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm256_fmadd_pd(a, b, c);
}
HEED_INLINE Vec<float> maximum(Vec<float> a, Vec<float> b) { return _mm256_max_ps(a, b); }
HEED_INLINE Vec<double> maximum(Vec<double> a, Vec<double> b) { return _mm256_max_pd(a, b); }

HEED_INLINE Vec<float> square_root(Vec<float> v) { return _mm256_sqrt_ps(v); }
HEED_INLINE Vec<double> square_root(Vec<double> v) { return _mm256_sqrt_pd(v); }

HEED_INLINE Words64 multiply_words(Words64 a, Words64 b) {
  return (Words64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}

HEED_INLINE Vec<float> from_half(const void* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
HEED_INLINE void to_half(Vec<float> v, void* p) {
  _mm_storeu_si128(static_cast<__m128i*>(p),
                   _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#endif

#include "heed/simd/target/kernels.inl"

}  // namespace avx2
}  // namespace HEED_ABI
}  // namespace heed::simd

#include "heed/simd/target/end.inl"

#endif  // HEED_X86
