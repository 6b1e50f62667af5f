// Kernels in what every machine of the architecture has: SSE2 on x86-64, NEON on aarch64.
#pragma once

#include "heed/simd/isa.hpp"
#include "heed/simd/table.hpp"

namespace heed::simd {
inline namespace HEED_ABI {
namespace portable {

inline constexpr Isa target_isa = Isa::portable;

template <class R>
inline constexpr int vl = 16 / sizeof(R);
template <class R>
using Vec = typename Register<R, vl<R>>::type;

#if defined(__aarch64__)
// 24 sums, 4 registers of keys and 1 of queries out of 32.
template <class R>
inline constexpr int mr = 6;
template <class R>
inline constexpr int vectors = 4;
#else
// 8 sums, 2 registers of keys, 1 of queries and 1 of a product out of 16.
template <class R>
inline constexpr int mr = 4;
template <class R>
inline constexpr int vectors = 2;
#endif

#include "heed/simd/target/gnu_operations.inl"
#include "heed/simd/target/kernels.inl"

}  // namespace portable
}  // namespace HEED_ABI
}  // namespace heed::simd
