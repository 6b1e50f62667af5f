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

#include "heed/simd/avx512_operations.inl"
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
