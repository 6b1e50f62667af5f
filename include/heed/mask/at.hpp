// A mask at a given position: query i of batch entry b stands at offsets[b] + i among the keys,
// wherever the sequences end.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>

#include "heed/core/error.hpp"
#include "heed/core/per_batch.hpp"
#include "heed/mask/combine.hpp"

namespace heed::mask {

template <class Offsets, Mask M>
struct At {
  Offsets offsets;  // [B], or one for all
  M inside;

  HEED_DEVICE auto bind(const Shape& shape, Index b, Index h) const {
    return mask::bind(inside, shape.at(offsets[b]), b, h);
  }
  int key_stride() const requires HasKeyStride<M> { return inside.key_stride(); }

  template <class Arena>
  auto to_device(Arena& arena) const {
    auto there = offsets.to_device(arena);
    auto mask_there = mask::to_device(inside, arena);
    return At<decltype(there), decltype(mask_there)>{there, mask_there};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    constexpr Index most = std::numeric_limits<std::int32_t>::max();
    require_batch("heed::mask::at", "offsets", offsets, shape.B);
    Index first = shape.B == 0 ? shape.end_offset() : offsets[0], last = first;
    for (Index b = 0; b < shape.B; ++b) {
      if (!offsets.within(b, -most, most)) {
        throw Error("heed::mask::at: offset " + offsets.text(b) + " is outside ±(2^31 - 1)");
      }
      first = std::min(first, offsets[b]);
      last = std::max(last, offsets[b]);
    }
    mask::check(inside, shape.at(first));
    if (last != first) mask::check(inside, shape.at(last));
  }
};

inline namespace HEED_ABI {

// Causal masks, windows and other masks by position, with query i at offsets[b] + i: for queries in
// the midst of a cache, or keys that are a piece of a longer sequence.
//
//   offsets  one integer, or one per batch entry (mask::padding says of which types); may be
//            negative. Referred to, a braced list is kept.
//   inside   any mask; what is aligned to the start (align::start), and what lies inside `packed`
//            or `ragged`, stays where it is
//
// Throws heed::Error for an offset outside ±(2³¹ − 1).
template <Borrowed Offsets, MaskLike M>
requires(!std::is_integral_v<std::remove_cvref_t<Offsets>>) auto at(Offsets&& offsets,
                                                                    const M& inside) {
  return At<PerBatchOf<Offsets&>, AsMask<M>>{per_batch("heed::mask::at", offsets), as_mask(inside)};
}
template <MaskLike M>
At<ListPerBatch, AsMask<M>> at(std::initializer_list<Index> offsets, const M& inside) {
  return {per_batch(offsets), as_mask(inside)};
}
template <MaskLike M>
At<EveryBatch, AsMask<M>> at(Index offset, const M& inside) {
  return {EveryBatch{offset}, as_mask(inside)};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
