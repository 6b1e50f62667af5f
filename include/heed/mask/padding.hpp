// Keys past the end of their sequence are seen by nobody: keys [0, lengths[b]) of batch b remain.
#pragma once

#include <string>

#include "heed/core/error.hpp"
#include "heed/core/span.hpp"
#include "heed/mask/mask.hpp"

namespace heed::mask {

// Every query sees the keys [0, keys).
struct Prefix {
  int keys;

  HEED_DEVICE constexpr bool allows(int, int j) const { return j < keys; }
  HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    if (tile.k_end <= keys) return Coverage::Full;
    return tile.k_begin >= keys ? Coverage::Empty : Coverage::Partial;
  }
};

struct Padding {
  Span<int> lengths;  // [B]

  HEED_DEVICE Prefix bind(const Shape&, Index b, Index) const { return {lengths[b]}; }

  template <class Arena>
  Padding to_device(Arena& arena) const {
    return {arena.copy(lengths)};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    if (lengths.size() != shape.B) {
      throw Error("heed::mask::padding: " + std::to_string(lengths.size()) +
                  " lengths for a batch of " + std::to_string(shape.B));
    }
    for (const int length : lengths) {
      if (length >= 0 && length <= shape.Lk) continue;
      throw Error("heed::mask::padding: length " + std::to_string(length) + " is outside 0 … " +
                  std::to_string(shape.Lk) + " keys");
    }
  }
};

inline namespace HEED_ABI {

// Refers to `lengths`, one per batch: they must outlive the mask.
inline Padding padding(LastingSpan<int> lengths) { return {lengths}; }

}  // namespace HEED_ABI
}  // namespace heed::mask
