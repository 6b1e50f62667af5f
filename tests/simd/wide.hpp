// The one body of the kernels, twice more: in the shape of AVX-512 and in that of NEON, in GNU
// vectors that the compiler cuts to what the machine has.
#pragma once

#include "heed/simd/table.hpp"

namespace heed::test {

using namespace simd;

// 16 float or 8 double lanes; 24 sums.
namespace wide {

inline constexpr Isa target_isa = Isa::portable;
template <class R>
inline constexpr int vl = 64 / sizeof(R);
template <class R>
using Vec = typename Register<R, vl<R>>::type;
template <class R>
inline constexpr int mr = 6;
template <class R>
inline constexpr int vectors = 4;

#include "heed/simd/target/gnu_operations.inl"
#include "heed/simd/target/kernels.inl"

}  // namespace wide

// 4 float or 2 double lanes; 24 sums, which only 32 registers can hold.
namespace tall {

inline constexpr Isa target_isa = Isa::portable;
template <class R>
inline constexpr int vl = 16 / sizeof(R);
template <class R>
using Vec = typename Register<R, vl<R>>::type;
template <class R>
inline constexpr int mr = 6;
template <class R>
inline constexpr int vectors = 4;

#include "heed/simd/target/gnu_operations.inl"
#include "heed/simd/target/kernels.inl"

}  // namespace tall

}  // namespace heed::test
