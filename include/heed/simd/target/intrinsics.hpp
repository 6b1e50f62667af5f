// The intrinsics of x86-64's targets, or HEED_X86_BUILTINS: built-ins of g++ 12 in their place. It
// takes 0.36 s and 100 MiB for <immintrin.h>, of which targets need ten instructions. Other
// compilers, nvcc and versions of g++ whose built-ins were not tried take the intrinsics. Products
// of bfloat16 and of bytes are written out.
#pragma once

#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__) && !defined(__EDG__) && \
    __GNUC__ == 12
#define HEED_X86_BUILTINS 1
#else
#define HEED_X86_BUILTINS 0
#endif

#if !HEED_X86_BUILTINS
#include <immintrin.h>
#endif
