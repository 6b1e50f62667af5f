// heed/simd/target/avx512.hpp itself, its intrinsics executed through SIMDe.
#include <immintrin.h>  // before SIMDe's aliases, which are macros

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>

#include "heed/core/eigen.hpp"
#include "simd/tables.hpp"

namespace heed::test {

// Operations that SIMDe 0.7 lacks, from halves. Every lane is on in heed's calls.
inline simde__m512 widened_halves(simde__m256i halves) {
  simde__m512_private wide;
  const simde__m256i_private narrow = simde__m256i_to_private(halves);
  wide.m256[0] = simde_mm256_cvtph_ps(narrow.m128i[0]);
  wide.m256[1] = simde_mm256_cvtph_ps(narrow.m128i[1]);
  return simde__m512_from_private(wide);
}

inline simde__m256i narrowed_to_halves(simde__m512 x) {
  simde__m256i_private narrow;
  const simde__m512_private wide = simde__m512_to_private(x);
  narrow.m128i[0] = simde_mm256_cvtps_ph(wide.m256[0], SIMDE_MM_FROUND_NO_EXC);
  narrow.m128i[1] = simde_mm256_cvtps_ph(wide.m256[1], SIMDE_MM_FROUND_NO_EXC);
  return simde__m256i_from_private(narrow);
}

}  // namespace heed::test

#undef _mm512_maskz_cvtph_ps
#undef _mm512_maskz_cvtps_ph
#define _mm512_maskz_cvtph_ps(mask, halves) heed::test::widened_halves(halves)
#define _mm512_maskz_cvtps_ph(mask, x, rounding) heed::test::narrowed_to_halves(x)
// SIMDe has these without a mask alone.
#define _mm512_maskz_sqrt_ps(mask, x) simde_mm512_sqrt_ps(x)
#define _mm512_maskz_sqrt_pd(mask, x) simde_mm512_sqrt_pd(x)
// Intrinsics, which g++ does without, and not its built-ins.
#include "heed/simd/target/intrinsics.hpp"
#undef HEED_X86_BUILTINS
#define HEED_X86_BUILTINS 0
#include "emulated_avx512.hpp"

namespace heed::test {

template <class T>
Tables<T> simde_tables() {
  return {{"AVX-512 through SIMDe", &simd::emulated_avx512::table<T>,
           &simd::emulated_avx512::unpacked_table<T>, &simd::emulated_avx512::gradient_table<T>,
           &simd::emulated_avx512::layer_table<T>, &simd::emulated_avx512::panel_table<T>}};
}

template Tables<float> simde_tables();
template Tables<double> simde_tables();
template Tables<Half> simde_tables();
template Tables<BFloat16> simde_tables();

}  // namespace heed::test
