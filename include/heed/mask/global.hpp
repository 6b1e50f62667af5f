// The first `count` positions see everything and are seen by everything.
// Longformer (Beltagy et al., 2020), section 3.1; BigBird (Zaheer et al., 2020), section 2.
#pragma once

#include <string>

#include "heed/core/error.hpp"
#include "heed/mask/mask.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

struct BoundGlobal {
  int keys;     // keys [0, keys) are seen by every query
  int queries;  // queries [0, queries) see every key

  HEED_DEVICE constexpr bool allows(int i, int j) const { return j < keys || i < queries; }

  HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    if (tile.k_end <= keys || tile.q_end <= queries) return Coverage::Full;
    if (tile.k_begin >= keys && tile.q_begin >= queries) return Coverage::Empty;
    return Coverage::Partial;
  }
};

}  // namespace HEED_ABI

struct Global {
  int count;

  // Queries stand at their positions aligned to the end of the keys.
  HEED_DEVICE constexpr BoundGlobal bind(const Shape& shape, Index, Index) const {
    const Index queries = count - shape.end_offset();
    return {count, static_cast<int>(queries < 0 ? 0 : queries > shape.Lq ? shape.Lq : queries)};
  }
};

inline namespace HEED_ABI {

// Throws heed::Error for a negative count.
inline Global global(int count) {
  if (count < 0) {
    throw Error("heed::mask::global: count " + std::to_string(count) + " is negative");
  }
  return {count};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
