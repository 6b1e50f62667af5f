// Arrays of zeros.
#pragma once

#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "heed/core/types.hpp"

namespace heed {
inline namespace HEED_ABI {

// [count] values of X, zeros for numbers. Throws std::bad_alloc where `count` is beyond any memory;
// std::vector itself throws std::length_error there.
template <class X, class Allocator = std::allocator<X>>
std::vector<X, Allocator> zeros(Index count) {
  constexpr Index most = std::numeric_limits<Index>::max() / static_cast<Index>(sizeof(X));
  if (count < 0 || count > most) throw std::bad_alloc();
  return std::vector<X, Allocator>(static_cast<std::size_t>(count));
}

}  // namespace HEED_ABI
}  // namespace heed
