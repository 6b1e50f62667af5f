// The intrinsics of x86-64's targets, or HEED_X86_BUILTINS: g++'s built-ins in their place. g++ 12
// takes 0.36 s and 100 MiB for <immintrin.h>, of which targets need ten instructions. Versions of
// g++ whose built-ins were not compared with these, other compilers and nvcc take the intrinsics.
// Those of bfloat16 have other types from version to version and are written out.
#pragma once

#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__) && !defined(__EDG__) && \
    __GNUC__ >= 12 && __GNUC__ <= 14
#define HEED_X86_BUILTINS 1
#else
#define HEED_X86_BUILTINS 0
#endif

#if !HEED_X86_BUILTINS
#include <immintrin.h>
#endif
