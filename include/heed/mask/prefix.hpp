// Prefix language models: the first keys, a prompt, are seen by all; the others causally.
// Raffel et al., "Exploring the Limits of Transfer Learning" (T5, 2020), section 3.2.1, figure 3.
#pragma once

#include <string>

#include "heed/core/error.hpp"
#include "heed/core/span.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/combine.hpp"
#include "heed/mask/padding.hpp"

namespace heed::mask {

struct PrefixLengths {
  Span<int> lengths;  // [B]

  HEED_DEVICE Prefix bind(const Shape&, Index b, Index) const { return {lengths[b]}; }

  template <class Arena>
  PrefixLengths to_device(Arena& arena) const {
    return {arena.copy(lengths)};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    if (lengths.size() != shape.B) {
      throw Error("heed::mask::prefix: " + std::to_string(lengths.size()) +
                  " lengths for a batch of " + std::to_string(shape.B));
    }
    for (const int length : lengths) {
      if (length >= 0) continue;
      throw Error("heed::mask::prefix: length " + std::to_string(length) + " is negative");
    }
  }
};

inline namespace HEED_ABI {

// Keys [0, length) are seen by every query, later ones up to the query's position; a length beyond
// the keys is all of them. Throws heed::Error for a negative length.
inline Or<Prefix, Causal> prefix(int length, align alignment = align::end) {
  if (length < 0) {
    throw Error("heed::mask::prefix: length " + std::to_string(length) + " is negative");
  }
  return {Prefix{length}, causal(alignment)};
}

// The same with a length per batch. Refers to `lengths`: they must outlive the mask.
inline Or<PrefixLengths, Causal> prefix(LastingSpan<int> lengths, align alignment = align::end) {
  return {PrefixLengths{lengths}, causal(alignment)};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
