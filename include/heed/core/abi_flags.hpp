// The flags of a compiler call that change code, as letters of HEED_ABI (core/abi.hpp). Each is
// fixed here: inside a region with `#pragma GCC target` the compiler's own macros say something
// else.
#pragma once

// Of these a later one has all before it.
#if defined(__AVX512F__)
#define HEED_ABI_LEVEL 9
#elif defined(__AVX2__)
#define HEED_ABI_LEVEL 8
#elif defined(__AVX__)
#define HEED_ABI_LEVEL 7
#elif defined(__SSE4_2__)
#define HEED_ABI_LEVEL 6
#elif defined(__SSE4_1__)
#define HEED_ABI_LEVEL 5
#elif defined(__SSSE3__)
#define HEED_ABI_LEVEL 4
#elif defined(__SSE3__)
#define HEED_ABI_LEVEL 3
#else
#define HEED_ABI_LEVEL 2
#endif

// Instructions.
#if defined(__AVX512CD__)
#define HEED_ABI_AVX512CD d
#else
#define HEED_ABI_AVX512CD
#endif
#if defined(__AVX512BW__)
#define HEED_ABI_AVX512BW w
#else
#define HEED_ABI_AVX512BW
#endif
#if defined(__AVX512DQ__)
#define HEED_ABI_AVX512DQ q
#else
#define HEED_ABI_AVX512DQ
#endif
#if defined(__AVX512VL__)
#define HEED_ABI_AVX512VL v
#else
#define HEED_ABI_AVX512VL
#endif
#if defined(__AVX512IFMA__)
#define HEED_ABI_AVX512IFMA i
#else
#define HEED_ABI_AVX512IFMA
#endif
#if defined(__AVX512VBMI__)
#define HEED_ABI_AVX512VBMI k
#else
#define HEED_ABI_AVX512VBMI
#endif
#if defined(__AVX512VBMI2__)
#define HEED_ABI_AVX512VBMI2 r
#else
#define HEED_ABI_AVX512VBMI2
#endif
#if defined(__AVX512VNNI__)
#define HEED_ABI_AVX512VNNI n
#else
#define HEED_ABI_AVX512VNNI
#endif
#if defined(__AVX512BITALG__)
#define HEED_ABI_AVX512BITALG u
#else
#define HEED_ABI_AVX512BITALG
#endif
#if defined(__AVX512VPOPCNTDQ__)
#define HEED_ABI_AVX512VPOPCNTDQ t
#else
#define HEED_ABI_AVX512VPOPCNTDQ
#endif
#if defined(__AVX512BF16__)
#define HEED_ABI_AVX512BF16 g
#else
#define HEED_ABI_AVX512BF16
#endif
#if defined(__AVX512FP16__)
#define HEED_ABI_AVX512FP16 j
#else
#define HEED_ABI_AVX512FP16
#endif
#if defined(__AVXVNNI__)
#define HEED_ABI_AVXVNNI y
#else
#define HEED_ABI_AVXVNNI
#endif
#if defined(__FMA__)
#define HEED_ABI_FMA f
#else
#define HEED_ABI_FMA
#endif
#if defined(__F16C__)
#define HEED_ABI_F16C h
#else
#define HEED_ABI_F16C
#endif
#if defined(__FMA4__)
#define HEED_ABI_FMA4 x
#else
#define HEED_ABI_FMA4
#endif
#if defined(__XOP__)
#define HEED_ABI_XOP o
#else
#define HEED_ABI_XOP
#endif
#if defined(__POPCNT__)
#define HEED_ABI_POPCNT p
#else
#define HEED_ABI_POPCNT
#endif
#if defined(__LZCNT__)
#define HEED_ABI_LZCNT l
#else
#define HEED_ABI_LZCNT
#endif
#if defined(__BMI__)
#define HEED_ABI_BMI b
#else
#define HEED_ABI_BMI
#endif
#if defined(__BMI2__)
#define HEED_ABI_BMI2 c
#else
#define HEED_ABI_BMI2
#endif
#if defined(__MOVBE__)
#define HEED_ABI_MOVBE m
#else
#define HEED_ABI_MOVBE
#endif
#if defined(__AMX_TILE__)
#define HEED_ABI_AMX_TILE z
#else
#define HEED_ABI_AMX_TILE
#endif
#if defined(__GFNI__)
#define HEED_ABI_GFNI 0
#else
#define HEED_ABI_GFNI
#endif
#if defined(__APX_F__)
#define HEED_ABI_APX_F 1
#else
#define HEED_ABI_APX_F
#endif
#if defined(__AVX10_2__)
#define HEED_ABI_AVX10_2 3
#else
#define HEED_ABI_AVX10_2
#endif
#if defined(__ARM_FEATURE_SVE)
#define HEED_ABI_ARM_FEATURE_SVE s
#else
#define HEED_ABI_ARM_FEATURE_SVE
#endif
#if defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
#define HEED_ABI_ARM_FEATURE_FP16_VECTOR_ARITHMETIC a
#else
#define HEED_ABI_ARM_FEATURE_FP16_VECTOR_ARITHMETIC
#endif
#if defined(__ARM_FEATURE_BF16)
#define HEED_ABI_ARM_FEATURE_BF16 e
#else
#define HEED_ABI_ARM_FEATURE_BF16
#endif

// OpenMP, nvcc, assertions, arithmetic, Eigen's kernels.
#if defined(_OPENMP)
#define HEED_ABI_OMP o
#else
#define HEED_ABI_OMP
#endif
#if defined(__CUDACC__)
#define HEED_ABI_NVCC v
#else
#define HEED_ABI_NVCC
#endif
#if defined(NDEBUG)
#define HEED_ABI_NDEBUG d
#else
#define HEED_ABI_NDEBUG
#endif
#if defined(__FAST_MATH__)
#define HEED_ABI_FAST f
#else
#define HEED_ABI_FAST
#endif
#if __FINITE_MATH_ONLY__
#define HEED_ABI_FINITE i
#else
#define HEED_ABI_FINITE
#endif
#if defined(__ASSOCIATIVE_MATH__)
#define HEED_ABI_ASSOCIATIVE a
#else
#define HEED_ABI_ASSOCIATIVE
#endif
#if defined(__RECIPROCAL_MATH__)
#define HEED_ABI_RECIPROCAL r
#else
#define HEED_ABI_RECIPROCAL
#endif
#if defined(__NO_SIGNED_ZEROS__)
#define HEED_ABI_UNSIGNED_ZERO z
#else
#define HEED_ABI_UNSIGNED_ZERO
#endif
#if defined(__NO_TRAPPING_MATH__)
#define HEED_ABI_NO_TRAPS t
#else
#define HEED_ABI_NO_TRAPS
#endif
#if defined(__ROUNDING_MATH__)
#define HEED_ABI_ROUNDING m
#else
#define HEED_ABI_ROUNDING
#endif
#if defined(__NO_MATH_ERRNO__)
#define HEED_ABI_NO_ERRNO n
#else
#define HEED_ABI_NO_ERRNO
#endif
#if defined(EIGEN_DONT_VECTORIZE)
#define HEED_ABI_SCALAR s
#else
#define HEED_ABI_SCALAR
#endif

// The alignment that a user sets for Eigen; nothing where it is the one that Eigen takes by itself,
// which is a macro before or after heed, as headers are included.
#if defined(__AVX512F__)
#define HEED_ABI_EIGEN_ALIGN 64
#elif defined(__AVX__)
#define HEED_ABI_EIGEN_ALIGN 32
#else
#define HEED_ABI_EIGEN_ALIGN 16
#endif
#if defined(EIGEN_DONT_ALIGN)
#define HEED_ABI_ALIGN a0
#elif !defined(EIGEN_MAX_ALIGN_BYTES) || EIGEN_MAX_ALIGN_BYTES == HEED_ABI_EIGEN_ALIGN
#define HEED_ABI_ALIGN
#elif EIGEN_MAX_ALIGN_BYTES >= 64
#define HEED_ABI_ALIGN a64
#elif EIGEN_MAX_ALIGN_BYTES >= 32
#define HEED_ABI_ALIGN a32
#elif EIGEN_MAX_ALIGN_BYTES >= 16
#define HEED_ABI_ALIGN a16
#else
#define HEED_ABI_ALIGN a0
#endif
#undef HEED_ABI_EIGEN_ALIGN
