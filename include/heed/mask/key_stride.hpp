// Keys at equal distances. A mask that only every n-th key can pass says so by `key_stride`;
// kernels then read those keys alone, as a tensor whose keys lie n times as far apart.
#pragma once

#include <concepts>

#include "heed/mask/mask.hpp"

namespace heed::mask {

// Every key that any query may see is a multiple of key_stride().
template <class M>
concept HasKeyStride = requires(const M& mask) {
  { mask.key_stride() } -> std::same_as<int>;
};

inline namespace HEED_ABI {

template <Mask M>
constexpr int key_stride(const M& mask) {
  if constexpr (HasKeyStride<M>)
    return mask.key_stride();
  else
    return 1;
}

// Coverage of the keys k_begin, k_begin + step, … of a tile, the last of which is k_end − 1.
template <BoundMask M>
constexpr Coverage coverage_of_every(int step, const M& mask, Tile tile) {
  if constexpr (requires { mask.coverage_of_every(step, tile); })
    return mask.coverage_of_every(step, tile);
  else
    return mask.coverage(tile);
}

// A mask over keys 0, step, 2·step, …, numbered 0, 1, 2, …
template <BoundMask M>
struct BoundStridedKeys {
  M mask;
  int step;

  bool allows(int i, int c) const { return mask.allows(i, c * step); }
  Coverage coverage(Tile tile) const {
    return coverage_of_every(
        step, mask, {tile.q_begin, tile.q_end, tile.k_begin * step, (tile.k_end - 1) * step + 1});
  }
};

}  // namespace HEED_ABI
}  // namespace heed::mask
