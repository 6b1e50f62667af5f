// Kernels in AVX-512 (F, BW, DQ, VL).
#pragma once

#include "heed/simd/isa.hpp"
#include "heed/simd/table.hpp"

#if HEED_X86
#include "heed/simd/target/intrinsics.hpp"

#define HEED_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#include "heed/simd/target/begin.inl"

namespace heed::simd {
inline namespace HEED_ABI {
namespace avx512 {

inline constexpr Isa target_isa = Isa::avx512;

// 16 sums, 2 registers of keys and 1 of queries out of 32. Tiles of 6 × 4 are 1 % faster where all
// of them are whole, but 7 % slower under a causal mask at L 512 and 20 to 50 % on windows and
// texts of 16 tokens, whose last tiles are mostly empty; 12 × 2, 8 × 3 and 6 × 2 lie between (Zen
// 4).
template <class R>
inline constexpr int mr = 8;
template <class R>
inline constexpr int vectors = 2;

#include "heed/simd/target/avx512_operations.inl"
#include "heed/simd/target/kernels.inl"

}  // namespace avx512
}  // namespace HEED_ABI
}  // namespace heed::simd

#include "heed/simd/target/end.inl"

#endif  // HEED_X86
