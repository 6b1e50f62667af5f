// Longformer's pattern: a window, dilated or not, and global tokens.
// Beltagy et al., "Longformer" (2020), section 3.1.
#pragma once

#include "heed/mask/combine.hpp"
#include "heed/mask/dilated.hpp"
#include "heed/mask/global.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

// window_size / 2 keys to each side, `dilation` apart, and the first num_global positions, which
// see everything and are seen by everything: dilated(…) | global(num_global).
// Throws heed::Error for negative sizes and for a dilation below 1.
inline Or<Dilated, Global> longformer(Index window_size, int num_global, int dilation = 1) {
  if (window_size < 0) {
    throw Error("heed::mask::longformer: window size " + std::to_string(window_size) +
                " is negative");
  }
  return {dilated(window_size / 2, window_size / 2, dilation), global(num_global)};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
