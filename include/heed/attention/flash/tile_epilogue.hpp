// The epilogue of a tile of scores, between q·kᵀ and the softmax: scale, score modifier, mask.
#pragma once

#include <type_traits>

#include "heed/core/random.hpp"
#include "heed/core/types.hpp"
#include "heed/mask/mask.hpp"
#include "heed/score/score.hpp"
#include "heed/simd/gemm/tile_shape.hpp"
#include "heed/simd/vector.hpp"

namespace heed {

// Without a score the scale is folded into q where it fits, and only the mask is left to do.
template <class S>
inline constexpr bool folds_scale = std::is_same_v<std::remove_const_t<S>, score::None>;

inline namespace HEED_ABI {

// Rewrites tiles of [rows, Panel] scores in place; M and S are bound to a head. Compiled once per
// instruction set (simd::for_isa), so the mask and the score, a user's own too, are vectorised.
template <class R, class M, class S>
struct TileEpilogue {
  const M& mask;
  const S& score;
  R scale;
  bool masked;  // whether some of the tile may be forbidden

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* scores, const mask::Tile& tile) const {
    const int keys = tile.k_end - tile.k_begin;
    if constexpr (!folds_scale<S>) {
      for (int i = tile.q_begin; i < tile.q_end; ++i) {
        modify_row<Panel>(scores + (i - tile.q_begin) * Panel, i, tile.k_begin, keys);
      }
    }
    if (masked && mask::whole_tiles(mask)) {
      mask_tile<Panel>(scores, tile);
    } else if (masked) {
      for (int i = tile.q_begin; i < tile.q_end; ++i) {
        mask_row<Panel>(scores + (i - tile.q_begin) * Panel, i, tile.k_begin, keys);
      }
    }
    if (keys == Panel) return;
    for (int r = 0; r < tile.q_end - tile.q_begin; ++r, scores += Panel) {
      for (int c = 0; c < Panel; ++c) scores[c] = mask_if(c >= keys, scores[c]);
    }
  }

 private:
  // Through an array of its own, which nothing the score reads can alias: the loop vectorises.
  template <int Panel>
  [[gnu::always_inline]] inline void modify_row(R* s, int i, int j, int keys) const {
    simd::Array<R, Panel> row;
    if (keys == Panel) {
      for (int c = 0; c < Panel; ++c) row[c] = scale * s[c];
      score::modify(score, row, i, j, Panel);
      for (int c = 0; c < Panel; ++c) s[c] = row[c];
    } else {
      for (int c = 0; c < keys; ++c) s[c] *= scale;
      score::modify(score, s, i, j, keys);
    }
  }

  // Bytes behind a tile that nobody writes: without them GCC 12 at -O3 warns that the loops of
  // masks and of their combinations could pass the tile's end.
  static constexpr int room = 128;

  template <int Panel>
  [[gnu::always_inline]] inline void mask_tile(R* scores, const mask::Tile& tile) const {
    simd::Array<std::uint8_t, Panel * simd::max_mr + room> allowed;
    const int rows = tile.q_end - tile.q_begin, keys = tile.k_end - tile.k_begin;
    if (keys == Panel) {
      mask::fill(mask, {tile.q_begin, tile.q_end, tile.k_begin, tile.k_begin + Panel}, allowed,
                 Panel);
    } else {
      for (int n = 0; n < rows * Panel; ++n) allowed[n] = 1;
      mask::fill(mask, tile, allowed, Panel);
    }
    for (int n = 0; n < rows * Panel; ++n) scores[n] = mask_if(allowed[n] == 0, scores[n]);
  }

  // A whole row's length is known at compile time: filling and choosing then vectorise.
  template <int Panel>
  [[gnu::always_inline]] inline void mask_row(R* s, int i, int j, int keys) const {
    simd::Array<std::uint8_t, Panel + room> allowed;
    if (keys == Panel) {
      mask::fill(mask, {i, i + 1, j, j + Panel}, allowed, Panel);
      for (int c = 0; c < Panel; ++c) s[c] = mask_if(allowed[c] == 0, s[c]);
    } else {
      mask::fill(mask, {i, i + 1, j, j + keys}, allowed, Panel);
      for (int c = 0; c < keys; ++c) s[c] = mask_if(allowed[c] == 0, s[c]);
    }
  }
};

// Multiplies a tile of `rows` rows by a scale that is not folded into q.
template <class R>
struct ScaleTile {
  R scale;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* scores, int rows) const {
    for (int r = 0; r < rows; ++r, scores += Panel) {
      for (int c = 0; c < Panel; ++c) scores[c] *= scale;
    }
  }
};

// A tile of head (b, h) under a kernel's drop: x becomes x / (1 − dropout), or 0.
template <class Kernels, class R>
void drop_tile(const Kernels& kernels, R* x, const mask::Tile& tile, Index b, Index h,
               const Dropout& dropout) {
  const auto word = [](Index n) { return static_cast<std::uint32_t>(n); };
  kernels.drop(x, tile.q_end - tile.q_begin, tile.k_end - tile.k_begin, kernels.tile_shape.nr,
               dropout, {word(tile.k_begin), word(tile.q_begin), word(h), word(b)});
}

}  // namespace HEED_ABI
}  // namespace heed
