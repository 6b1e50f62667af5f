// The kernels in the shapes of AVX-512, in GNU vectors that any machine lowers to what it has: what
// the sixteen-lane body computes is tested where nothing runs its instructions.
#pragma once

#include "heed/simd/kernels.hpp"

// How such vectors would be passed to functions is not stable, but all of these are inlined. For
// the rest of the unit, since templates are warned about where they are instantiated: at its end.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace heed::simd {
inline namespace HEED_ABI {
namespace wide {

template <class R>
inline constexpr int width = 64 / sizeof(R);
template <class R>
using Vec = typename Register<R, width<R>>::type;
template <class R>
inline constexpr int rows = 6;
template <class R>
inline constexpr int vectors = 4;

#include "heed/simd/gnu_operations.inl"
#include "heed/simd/kernels.inl"

}  // namespace wide
}  // namespace HEED_ABI
}  // namespace heed::simd
