// Keys past the end of their sequence are seen by nobody: keys [0, lengths[b]) of batch b remain.
#pragma once

#include <initializer_list>
#include <string>

#include "heed/core/error.hpp"
#include "heed/core/per_batch.hpp"
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

// Lengths: PerBatch of any integer type, or ListPerBatch.
template <class Lengths>
struct BasicPadding {
  Lengths lengths;  // [B]

  HEED_DEVICE Prefix bind(const Shape&, Index b, Index) const {
    return {static_cast<int>(lengths[b])};
  }

  template <class Arena>
  auto to_device(Arena& arena) const {
    auto there = lengths.to_device(arena);
    return BasicPadding<decltype(there)>{there};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    require_batch("heed::mask::padding", "lengths", lengths, shape.B);
    for (Index b = 0; b < shape.B; ++b) {
      if (lengths.within(b, 0, shape.Lk)) continue;
      throw Error("heed::mask::padding: length " + lengths.text(b) + " is outside 0 … " +
                  std::to_string(shape.Lk) + " keys");
    }
  }
};

using Padding = BasicPadding<PerBatch<int>>;

inline namespace HEED_ABI {

// One length per batch entry, of any integer type. Refers to `lengths`, a vector, array, span or
// Eigen vector: they must outlive the mask. A braced list is kept: padding({5, 10}).
//
// Says nothing of positions: `padding(lengths) & causal()` is right where queries are padded as the
// keys are (Lq = Lk). With a cache of several lengths, see ragged.hpp.
template <Borrowed Lengths>
auto padding(Lengths&& lengths) {
  return BasicPadding<PerBatchOf<Lengths&>>{per_batch("heed::mask::padding", lengths)};
}
inline BasicPadding<ListPerBatch> padding(std::initializer_list<Index> lengths) {
  return {per_batch(lengths)};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
