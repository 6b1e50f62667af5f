// What every tiled path does to a tile of scores: load and pack its rows, modify, mask.
#pragma once

#include <algorithm>
#include <cstdint>

#include "heed/core/random.hpp"
#include "heed/core/view.hpp"
#include "heed/mask/mask.hpp"
#include "heed/score/score.hpp"
#include "heed/simd/scalar.hpp"

namespace heed {

inline constexpr int tile_queries = 64;
inline constexpr int tile_keys = simd::lanes;

inline namespace HEED_ABI {

// rows[r][d] = x(begin + r, d), converted.
template <class R, class T>
void load_rows(const View<const T, 2>& x, Index begin, int count, R* rows) {
  const Index cols = x.extent[1];
  for (int r = 0; r < count; ++r, rows += cols) {
    const T* from = x.data + (begin + r) * x.stride[0];
    for (Index d = 0; d < cols; ++d, from += x.stride[1]) rows[d] = static_cast<R>(*from);
  }
}

// kt[d][c] = x(begin + c, d), converted; columns from `count` on are zero.
template <class R, class T>
void load_transposed(const View<const T, 2>& x, Index begin, int count, R* kt) {
  for (Index d = 0; d < x.extent[1]; ++d, kt += tile_keys) {
    const T* from = x.data + begin * x.stride[0] + d * x.stride[1];
    for (int c = 0; c < count; ++c, from += x.stride[0]) kt[c] = static_cast<R>(*from);
    std::fill(kt + count, kt + tile_keys, R(0));
  }
}

template <class R>
bool all_finite(const R* x, Index count) {
  bool finite = true;
  for (Index n = 0; n < count; ++n) finite &= is_finite(x[n]);
  return finite;
}

// Raw dots become scale·dot, modified, and masked: what the mask forbids, and what lies beyond the
// tile's last key, is −inf.
//   s        [rows, tile_keys]  rows `stride` apart
//   allowed  [rows, tile_keys]  scratch, rows `stride` apart, written unless the tile is Full
template <class R, class M, class S>
void modify_and_mask(R* s, std::uint8_t* allowed, Index stride, mask::Tile tile,
                     mask::Coverage coverage, R scale, const M& mask, const S& score) {
  const int cols = tile.k_end - tile.k_begin;
  const bool masked = coverage != mask::Coverage::Full;
  if (masked) mask::fill(mask, tile, allowed, stride);
  for (int i = tile.q_begin; i < tile.q_end; ++i, s += stride, allowed += stride) {
    for (int c = 0; c < cols; ++c) {
      s[c] = static_cast<R>(score.value(scale * s[c], i, tile.k_begin + c));
    }
    if (masked) {
      for (int c = 0; c < cols; ++c) s[c] = mask_if(allowed[c] == 0, s[c]);
    }
    for (int c = cols; c < tile_keys; ++c) s[c] = mask_if(true, s[c]);
  }
}

// Drops and rescales the weights of a tile.
//   p  [rows, keys]  rows `stride` apart
template <class R>
void drop_weights(R* p, Index stride, mask::Tile tile, const Dropout& dropout, Index b, Index h) {
  const R keep_scale = static_cast<R>(dropout.keep_scale);
  for (int i = tile.q_begin; i < tile.q_end; ++i, p += stride) {
    for (int j = tile.k_begin; j < tile.k_end; ++j) {
      const bool kept = dropout.keeps(static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(h),
                                      static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j));
      p[j - tile.k_begin] *= kept ? keep_scale : R(0);
    }
  }
}

// The tile of keys that starts at k_begin, against queries [q_begin, q_end).
inline mask::Tile key_tile(int q_begin, int q_end, Index k_begin, const Shape& shape) {
  const Index k_end = std::min<Index>(k_begin + tile_keys, shape.Lk);
  return {q_begin, q_end, static_cast<int>(k_begin), static_cast<int>(k_end)};
}

}  // namespace HEED_ABI
}  // namespace heed
