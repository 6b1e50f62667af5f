// A power of 2 for sums whose reciprocal would be infinite.
#pragma once

#include <cmath>
#include <limits>

#include "heed/core/types.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// Factor for a sum and for all that it divides: 1, or a power of 2 where the sum is subnormal and
// its reciprocal would be infinite.
template <class R>
R raise_of(R sum) {
  return std::abs(sum) < std::numeric_limits<R>::min() ? R(18446744073709551616.0L) : R(1);
}

// The same for sums that gradients are divided by, which may be large themselves.
template <class R>
R gradient_raise_of(R sum) {
  constexpr R small = std::numeric_limits<R>::min() * R(4294967296.0L);
  return std::abs(sum) < small ? R(18446744073709551616.0L) : R(1);
}

}  // namespace HEED_ABI
}  // namespace heed::approx
