// HEED_ABI: the inline namespace of every function template, named from the flags it is built with.
//
// Two translation units compiled with different -m, -fopenmp, -ffast-math or -DNDEBUG flags would
// otherwise emit the same symbols with different bodies, and the linker would keep either one: a
// binary for an old machine could run a body built for a new one. nvcc's units are apart too:
// heed::backends and heed::dispatch can do more there. Not in the name, since no macro tells:
// -ffp-contract, levels of optimisation, and of clang's arithmetic flags all but -ffast-math and
// -ffinite-math-only.
//
// Types that pass between units stay directly in heed: views, masks, scores, options, results and
// reports. heed::nn's modules and bound masks and scores are in the inline namespace too, since
// compilers leave their members out of line: a module that is handed to a unit of other flags does
// not link. Functions of std and Eigen have one name in all units. EIGEN_MAX_ALIGN_BYTES must be
// the same for all, as by itself it goes by -m flags (16 bytes, 32 from AVX on, 64 from AVX-512
// on), and a tensor that one body allocates and another frees is a double free. A unit for a newer
// machine than the program's should have views only.
#pragma once

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 202002L
#error "heed needs C++20: -std=c++20, or link heed::heed (heed::cuda for nvcc), which asks for it"
#include <there_is_no_such_file:the_compiler_stops_here>  // and not after thousands of errors
#endif
#if defined(__GNUC__) && !defined(__EXCEPTIONS) && !defined(__CUDACC__)
#error "heed throws heed::Error for wrong calls: remove -fno-exceptions"
#include <there_is_no_such_file:the_compiler_stops_here>
#endif

#include "heed/core/abi_flags.hpp"

#define HEED_ABI_PASTE_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o) \
  a##b##c##d##e##f##g##h##i##j##k##l##m##n##o
#define HEED_ABI_PASTE(...) HEED_ABI_PASTE_(__VA_ARGS__)
#define HEED_ABI_PART_1                                                                      \
  HEED_ABI_PASTE(HEED_ABI_AVX512CD, HEED_ABI_AVX512BW, HEED_ABI_AVX512DQ, HEED_ABI_AVX512VL, \
                 HEED_ABI_AVX512IFMA, HEED_ABI_AVX512VBMI, HEED_ABI_AVX512VBMI2,             \
                 HEED_ABI_AVX512VNNI, HEED_ABI_AVX512BITALG, HEED_ABI_AVX512VPOPCNTDQ,       \
                 HEED_ABI_AVX512BF16, HEED_ABI_AVX512FP16, HEED_ABI_AVXVNNI, HEED_ABI_FMA, )
#define HEED_ABI_PART_2                                                                         \
  HEED_ABI_PASTE(HEED_ABI_F16C, HEED_ABI_FMA4, HEED_ABI_XOP, HEED_ABI_POPCNT, HEED_ABI_LZCNT,   \
                 HEED_ABI_BMI, HEED_ABI_BMI2, HEED_ABI_MOVBE, HEED_ABI_AMX_TILE, HEED_ABI_GFNI, \
                 HEED_ABI_APX_F, HEED_ABI_AVX10_2, HEED_ABI_ARM_FEATURE_SVE,                    \
                 HEED_ABI_ARM_FEATURE_FP16_VECTOR_ARITHMETIC, HEED_ABI_ARM_FEATURE_BF16)
#define HEED_ABI_PART_3                                                                        \
  HEED_ABI_PASTE(HEED_ABI_OMP, HEED_ABI_NVCC, HEED_ABI_NDEBUG, HEED_ABI_FAST, HEED_ABI_FINITE, \
                 HEED_ABI_ASSOCIATIVE, HEED_ABI_RECIPROCAL, HEED_ABI_UNSIGNED_ZERO,            \
                 HEED_ABI_NO_TRAPS, HEED_ABI_ROUNDING, HEED_ABI_NO_ERRNO, HEED_ABI_SCALAR,     \
                 HEED_ABI_ALIGN, , )
#define HEED_ABI_JOIN_(level, one, two, unit) abi_##level##one##two##_u##unit
#define HEED_ABI_JOIN(level, one, two, unit) HEED_ABI_JOIN_(level, one, two, unit)
#define HEED_ABI HEED_ABI_JOIN(HEED_ABI_LEVEL, HEED_ABI_PART_1, HEED_ABI_PART_2, HEED_ABI_PART_3)

namespace heed {
inline namespace HEED_ABI {

// A tag of this unit's flags. As a default template argument it gives functions of a type outside
// the inline namespace that cannot be inlined, like virtual ones, a name of their own. Other
// members of such types that compilers leave out of line are [[gnu::always_inline]]
// (tests/compile/abi_names.cmake).
struct UnitFlags {};

}  // namespace HEED_ABI
}  // namespace heed
