// The rows of a layer's product, cut along K.
#pragma once

#include <concepts>
#include <type_traits>

#include "heed/core/types.hpp"
#include "heed/simd/vector.hpp"

namespace heed::simd {

// Rows of A cut along K, so that a panel of B stays in L1 while they pass by: [blocks of K, rows,
// block], all of a length that the kernels choose, but for the last block.
template <class R>
struct BlockedA {
  R* data;
  Index rows;  // that there is room for
  Index k;

  // The block that begins with element `begin` of each row.
  HEED_INLINE constexpr R* block(Index begin) const { return data + begin * rows; }

  template <std::same_as<const R> X>
  HEED_INLINE constexpr operator BlockedA<X>() const  // NOLINT(google-explicit-*)
      requires(!std::is_same_v<X, R>) {
    return {data, rows, k};
  }
};

}  // namespace heed::simd
