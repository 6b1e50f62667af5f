// Prefix language models: the first keys, a prompt, are seen by all; the others causally.
// Raffel et al., "Exploring the Limits of Transfer Learning" (T5, 2020), section 3.2.1, figure 3.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>

#include "heed/core/error.hpp"
#include "heed/core/per_batch.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/combine.hpp"
#include "heed/mask/padding.hpp"

namespace heed::mask {

template <class Lengths>
struct BasicPrefixLengths {
  Lengths lengths;  // [B]

  HEED_DEVICE Prefix bind(const Shape& shape, Index b, Index) const {
    const Index length = lengths[b];
    return {static_cast<int>(length < shape.Lk ? length : shape.Lk)};
  }

  template <class Arena>
  auto to_device(Arena& arena) const {
    auto there = lengths.to_device(arena);
    return BasicPrefixLengths<decltype(there)>{there};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    require_batch("heed::mask::prefix", "lengths", lengths, shape.B);
    for (Index b = 0; b < shape.B; ++b) {
      if (lengths.within(b, 0, std::numeric_limits<Index>::max())) continue;
      throw Error("heed::mask::prefix: length " + lengths.text(b) +
                  (lengths.text(b)[0] == '-' ? " is negative" : " does not fit 64 bits"));
    }
  }
};

using PrefixLengths = BasicPrefixLengths<PerBatch<int>>;

inline namespace HEED_ABI {

// Keys [0, length) are seen by every query, later ones up to the query's position; a length beyond
// the keys is all of them. Throws heed::Error for a negative length.
inline Or<Prefix, Causal> prefix(int length, align alignment = align::end) {
  if (length < 0) {
    throw Error("heed::mask::prefix: length " + std::to_string(length) + " is negative");
  }
  return {Prefix{length}, causal(alignment)};
}

// The same with a length per batch entry, of any integer type. Refers to `lengths`: they must
// outlive the mask; a braced list is kept.
template <Borrowed Lengths>
requires(!std::is_integral_v<std::remove_cvref_t<Lengths>>) auto prefix(
    Lengths&& lengths, align alignment = align::end) {
  using Batch = BasicPrefixLengths<PerBatchOf<Lengths&>>;
  return Or<Batch, Causal>{Batch{per_batch("heed::mask::prefix", lengths)}, causal(alignment)};
}
inline Or<BasicPrefixLengths<ListPerBatch>, Causal> prefix(std::initializer_list<Index> lengths,
                                                           align alignment = align::end) {
  return {{per_batch(lengths)}, causal(alignment)};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
