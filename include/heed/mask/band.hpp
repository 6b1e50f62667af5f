// A band of diagonals: query i sees key j where low <= j − i <= high. Causal and window masks are
// bands. j − i never overflows an int; a query's aligned position could.
#pragma once

#include <algorithm>

#include "heed/mask/mask.hpp"

namespace heed::mask {

// Where query 0 stands when there are fewer or more queries than keys.
enum class align {
  end,   // both sequences end together: query i is at position i + Lk − Lq
  start  // both begin together: query i is at position i
};

struct Band {
  int low, high;

  HEED_DEVICE constexpr bool allows(int i, int j) const { return j - i >= low && j - i <= high; }

  HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    const int least = tile.k_begin - (tile.q_end - 1);
    const int most = tile.k_end - 1 - tile.q_begin;
    if (most < low || least > high || low > high) return Coverage::Empty;
    return least >= low && most <= high ? Coverage::Full : Coverage::Partial;
  }

  // The band around each query's position, `left` keys before it to `right` after it.
  HEED_DEVICE static constexpr Band around(Index position_of_query_0, Index left, Index right) {
    return {clamp(position_of_query_0 - left), clamp(position_of_query_0 + right)};
  }

 private:
  // Lengths are below 2³¹, so a bound out there admits or refuses the same keys as the limit.
  HEED_DEVICE static constexpr int clamp(Index bound) {
    constexpr Index limit = 0x7fffffff;
    return static_cast<int>(bound < -limit ? -limit : bound > limit ? limit : bound);
  }
};

HEED_DEVICE constexpr Index query_0_position(align alignment, const Shape& shape) {
  return alignment == align::end ? shape.end_offset() : 0;
}

}  // namespace heed::mask
