// Each query sees the keys near its own position.
#pragma once

#include <limits>
#include <string>

#include "heed/core/error.hpp"
#include "heed/mask/band.hpp"

namespace heed::mask {

struct Window {
  Index left, right;
  align alignment = align::end;

  HEED_DEVICE constexpr Band bind(const Shape& shape, Index, Index) const {
    return Band::around(query_0_position(alignment, shape), left, right);
  }
};

inline namespace HEED_ABI {

// Keys p − left … p + right, both inclusive, p the query's aligned position.
// Throws heed::Error for a negative side.
inline Window window(Index left, Index right, align alignment = align::end) {
  constexpr Index most = std::numeric_limits<std::int32_t>::max();
  if (left < 0 || right < 0) {
    throw Error("heed::mask::window: a side is negative (left " + std::to_string(left) +
                ", right " + std::to_string(right) + ")");
  }
  return {std::min(left, 2 * most), std::min(right, 2 * most), alignment};
}

// `width` keys to each side.
inline Window window(Index width) { return window(width, width); }

// The documents' local attention of size w: w / 2 keys to each side, so 2·(w / 2) + 1 in all.
// Throws heed::Error for a negative size.
inline Window local(Index size) {
  if (size < 0) {
    throw Error("heed::mask::local: size " + std::to_string(size) + " is negative");
  }
  return window(size / 2);
}

}  // namespace HEED_ABI
}  // namespace heed::mask
