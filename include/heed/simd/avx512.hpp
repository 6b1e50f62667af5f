// Kernels in AVX-512 (F, BW, DQ, VL).
#pragma once

#include "heed/simd/isa.hpp"
#include "heed/simd/table.hpp"

#if HEED_X86
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

namespace heed::simd {
inline namespace HEED_ABI {
namespace avx512 {

template <class R>
inline constexpr int width = 64 / sizeof(R);
template <class R>
using Vec = typename Register<R, width<R>>::type;

// 24 sums, 4 registers of keys and 1 of queries out of 32.
template <class R>
inline constexpr int rows = 6;
template <class R>
inline constexpr int vectors = 4;

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

template <class V>
HEED_INLINE V fixed(V v) {
  asm("" : "+v"(v));
  return v;
}

HEED_INLINE Vec<float> from_half(const void* p) {
  return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
HEED_INLINE void to_half(Vec<float> v, void* p) {
  _mm256_storeu_si256(
      static_cast<__m256i*>(p),
      _mm512_maskz_cvtps_ph(0xffff, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

#include "heed/simd/kernels.inl"

}  // namespace avx512
}  // namespace HEED_ABI
}  // namespace heed::simd

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // HEED_X86
