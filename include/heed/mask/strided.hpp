// Every query sees every stride-th key: 0, stride, 2·stride, …
#pragma once

#include <string>

#include "heed/core/error.hpp"
#include "heed/mask/mask.hpp"

namespace heed::mask {

struct Strided {
  int stride;

  HEED_DEVICE constexpr bool allows(int, int j) const { return j % stride == 0; }

  HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    const int to_next = (stride - tile.k_begin % stride) % stride;
    if (to_next >= tile.k_end - tile.k_begin) return Coverage::Empty;
    const bool every = stride == 1 || (tile.k_end - tile.k_begin == 1);
    return every ? Coverage::Full : Coverage::Partial;
  }

  constexpr int key_stride() const { return stride; }
  constexpr Coverage coverage_of_every(int step, Tile tile) const {
    if (step % stride != 0) return coverage(tile);
    return tile.k_begin % stride == 0 ? Coverage::Full : Coverage::Empty;
  }

  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index step) const {
    const Index keys = tile.k_end - tile.k_begin;
    const Index first = (stride - tile.k_begin % stride) % stride;
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += step) {
      for (Index c = 0; c < keys; ++c) allowed[c] = 0;
      for (Index c = first; c < keys; c += stride) allowed[c] = 1;
    }
  }
};

inline namespace HEED_ABI {

// Throws heed::Error for a stride below 1.
inline Strided strided(int stride) {
  if (stride < 1) {
    throw Error("heed::mask::strided: stride " + std::to_string(stride) + " is below 1");
  }
  return {stride};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
