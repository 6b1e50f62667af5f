// Memory of a call: arrays of zeros, and the numbers whose reciprocal is none.
#pragma once

#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "heed/core/types.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// [count] values of X, zeros for numbers. Throws std::bad_alloc where `count` is beyond any memory;
// std::vector itself throws std::length_error there.
template <class X>
std::vector<X> zeros(Index count) {
  constexpr Index most = std::numeric_limits<Index>::max() / static_cast<Index>(sizeof(X));
  if (count < 0 || count > most) throw std::bad_alloc();
  return std::vector<X>(static_cast<std::size_t>(count));
}

// Factor for a sum and for all that it divides: 1, or a power of 2 where the sum is subnormal and
// its reciprocal would be infinite.
template <class R>
R raise_of(R sum) {
  return std::abs(sum) < std::numeric_limits<R>::min() ? R(18446744073709551616.0L) : R(1);
}

}  // namespace HEED_ABI
}  // namespace heed::approx
