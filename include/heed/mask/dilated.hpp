// A window with holes: each query sees every `dilation`-th key near its own position.
// Beltagy et al., "Longformer" (2020), section 3.1, "Dilated Sliding Window".
#pragma once

#include <limits>
#include <string>

#include "heed/core/error.hpp"
#include "heed/mask/band.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

// low <= j − i <= high, and j − i − phase is a multiple of the dilation.
struct BoundDilated {
  Band band;
  int dilation;
  int phase;  // in [0, dilation)

  HEED_DEVICE constexpr bool allows(int i, int j) const {
    return band.allows(i, j) && to_next(j - i) == 0;
  }

  HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    const int least = tile.k_begin - (tile.q_end - 1);
    const int most = tile.k_end - 1 - tile.q_begin;
    const int first = least < band.low ? band.low : least;
    const int last = most > band.high ? band.high : most;
    if (first > last || to_next(first) > Index{last} - first) return Coverage::Empty;
    const bool every = dilation == 1 || least == most;
    return every && first == least && last == most ? Coverage::Full : Coverage::Partial;
  }

  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    const Index keys = tile.k_end - tile.k_begin;
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      for (Index c = 0; c < keys; ++c) allowed[c] = 0;
      const int least = tile.k_begin - i;
      const int first = least < band.low ? band.low : least;
      const Index end =
          (band.high < tile.k_end - i ? Index{band.high} + 1 : tile.k_end - i) - least;
      for (Index c = Index{first} + to_next(first) - least; c < end; c += dilation) allowed[c] = 1;
    }
  }

 private:
  // Distance from `difference` to the next one that counts.
  HEED_DEVICE constexpr int to_next(int difference) const {
    const int past = static_cast<int>((Index{difference} - phase) % dilation);
    return past > 0 ? dilation - past : -past;
  }
};

}  // namespace HEED_ABI

struct Dilated {
  Index left, right;
  int dilation;
  align alignment = align::end;

  HEED_DEVICE constexpr BoundDilated bind(const Shape& shape, Index, Index) const {
    const Index position = query_0_position(alignment, shape);
    const Index past = position % dilation;
    return {Band::around(position, left * dilation, right * dilation), dilation,
            static_cast<int>(past < 0 ? past + dilation : past)};
  }
};

inline namespace HEED_ABI {

// Keys p − left·dilation, …, p − dilation, p, p + dilation, …, p + right·dilation, p the query's
// aligned position: left + 1 + right keys. Throws heed::Error for a negative side and for a
// dilation below 1.
inline Dilated dilated(Index left, Index right, int dilation, align alignment = align::end) {
  constexpr Index most = std::numeric_limits<std::int32_t>::max();
  if (left < 0 || right < 0) {
    throw Error("heed::mask::dilated: a side is negative (left " + std::to_string(left) +
                ", right " + std::to_string(right) + ")");
  }
  if (dilation < 1) {
    throw Error("heed::mask::dilated: dilation " + std::to_string(dilation) + " is below 1");
  }
  return {std::min(left, 2 * most), std::min(right, 2 * most), dilation, alignment};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
