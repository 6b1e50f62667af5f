// HEED_ABI: the inline namespace of every function template, named from the flags it is built with.
//
// Two translation units compiled with different -m, -fopenmp or -ffast-math flags would otherwise
// emit the same symbols with different bodies, and the linker would keep either one: a binary for
// an old machine could run a body built for a new one. nvcc's units are apart too: heed::backends
// and heed::anywhere can do more there. Types stay directly in heed, so objects pass freely between
// such units.
#pragma once

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 202002L
#error "heed needs C++20: -std=c++20, or link heed::heed (heed::cuda for nvcc), which asks for it"
#endif

#if defined(__AVX512F__)
#define HEED_ABI_ISA avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define HEED_ABI_ISA avx2
#elif defined(__AVX__)
#define HEED_ABI_ISA avx
#elif defined(__SSE4_1__)
#define HEED_ABI_ISA sse4
#else
#define HEED_ABI_ISA base
#endif

#if defined(_OPENMP)
#define HEED_ABI_OMP omp
#else
#define HEED_ABI_OMP serial
#endif

#if defined(__FAST_MATH__)
#define HEED_ABI_MATH fast
#else
#define HEED_ABI_MATH ieee
#endif

#if defined(__CUDACC__)
#define HEED_ABI_JOIN_(isa, omp, math) abi_##isa##_##omp##_##math##_nvcc
#else
#define HEED_ABI_JOIN_(isa, omp, math) abi_##isa##_##omp##_##math
#endif
#define HEED_ABI_JOIN(isa, omp, math) HEED_ABI_JOIN_(isa, omp, math)
#define HEED_ABI HEED_ABI_JOIN(HEED_ABI_ISA, HEED_ABI_OMP, HEED_ABI_MATH)

namespace heed {
inline namespace HEED_ABI {

// A type that differs from unit to unit as their flags do: as a default template argument it keeps
// apart what a type outside the inline namespace holds but cannot inline, like virtual functions.
// Other members that compilers leave out of line are [[gnu::always_inline]].
struct UnitFlags {};

}  // namespace HEED_ABI
}  // namespace heed
