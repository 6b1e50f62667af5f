// Between the products of a backward call: scores to weights, weights' gradients to scores'.
#pragma once

#include <algorithm>

#include "heed/attention/flash/tile_epilogue.hpp"
#include "heed/attention/problem.hpp"
#include "heed/score/chain_rule.hpp"
#include "heed/simd/kernels.hpp"

namespace heed {

// Some queries of one head and the keys of a KV block: where score tiles stand.
struct ScorePlace {
  Index b, h;
  int q_begin, q_end, k_begin, k_end;
};

inline namespace HEED_ABI {

// f(row tile, panel, tile) for each live tile.
template <class R, class F>
void for_each_live_tile(const simd::ScoreTiles<R>& scores, const ScorePlace& at, F&& f) {
  const simd::TileShape& shape = scores.shape;
  for (int g = 0; g < scores.m_tiles; ++g) {
    for (int p = 0; p < scores.panels; ++p) {
      if (!scores.live(g, p)) continue;
      const int i = at.q_begin + g * shape.mr, j = at.k_begin + p * shape.nr;
      f(g, p, mask::Tile{i, std::min(i + shape.mr, at.q_end), j, std::min(j + shape.nr, at.k_end)});
    }
  }
}

// Scores of one head become logits: scaled, modified, masked. M and S are bound.
template <class R, class M, class S>
void apply_epilogue(const simd::ScoreTiles<R>& scores, const ScorePlace& at, const M& mask,
                    const S& score, R scale, Isa isa) {
  using Epilogue = TileEpilogue<R, M, S>;
  const auto epilogue = simd::for_isa<R, Epilogue, R*, mask::Tile>(isa);
  for_each_live_tile(scores, at, [&](int g, int p, const mask::Tile& tile) {
    const bool masked = scores.coverage[Index{g} * scores.panels + p] !=
                        static_cast<std::uint8_t>(mask::Coverage::Full);
    if (folds_scale<S> && !masked && tile.k_end - tile.k_begin == scores.shape.nr) return;
    epilogue(Epilogue{mask, score, scale, masked}, scores.tile(g, p), tile);
  });
}

// A tile of q·k becomes its modified scores, `slopes` their derivatives by the scaled q·k.
template <class R, class S>
struct ModifyWithSlopes {
  const S& score;
  R scale;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* s, R* slopes, const mask::Tile& tile) const {
    const int keys = tile.k_end - tile.k_begin;
    for (int i = tile.q_begin; i < tile.q_end; ++i, s += Panel, slopes += Panel) {
      if (keys == Panel) {
        row<Panel>(s, slopes, i, tile.k_begin, Panel);
      } else {
        row<Panel>(s, slopes, i, tile.k_begin, keys);
      }
    }
  }

 private:
  // Through arrays of its own, which nothing the score reads can alias: the loops vectorise.
  template <int Panel>
  [[gnu::always_inline]] inline void row(R* s, R* slopes, int i, int j, int keys) const {
    simd::Array<R, Panel> of_s, of_slopes = {};
    for (int c = 0; c < keys; ++c) of_s[c] = scale * s[c];
    score::modify_with_slopes<Panel>(score, static_cast<R*>(of_s), static_cast<R*>(of_slopes), i, j,
                                     keys);
    for (int c = 0; c < keys; ++c) s[c] = of_s[c];
    for (int c = 0; c < Panel; ++c) slopes[c] = of_slopes[c];
  }
};

template <class R, class S>
void modify_with_slopes(const simd::ScoreTiles<R>& scores, R* slopes, const ScorePlace& at,
                        const S& score, R scale, Isa isa) {
  using Modify = ModifyWithSlopes<R, S>;
  const auto modify = simd::for_isa<R, Modify, R*, R*, mask::Tile>(isa);
  for_each_live_tile(scores, at, [&](int g, int p, const mask::Tile& tile) {
    R* s = scores.tile(g, p);
    modify(Modify{score, scale}, s, slopes + (s - scores.data), tile);
  });
}

// d ∘= slopes, whole rows of tiles: beyond the keys both are 0. Stays 0 where it is 0: masked,
// among others.
template <class R>
struct MultiplySlopes {
  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* d, const R* slopes,
                                                const mask::Tile& tile) const {
    for (int i = tile.q_begin; i < tile.q_end; ++i, d += Panel, slopes += Panel) {
      simd::Array<R, Panel> product;  // which the loop that stores it can't alias
      for (int c = 0; c < Panel; ++c) product[c] = select(d[c] == R(0), R(0), d[c] * slopes[c]);
      for (int c = 0; c < Panel; ++c) d[c] = product[c];
    }
  }
};

template <class R>
void multiply_slopes(const simd::ScoreTiles<R>& d_scores, const R* slopes, const ScorePlace& at,
                     Isa isa) {
  using Multiply = MultiplySlopes<R>;
  const auto multiply = simd::for_isa<R, Multiply, R*, const R*, mask::Tile>(isa);
  for_each_live_tile(d_scores, at, [&](int g, int p, const mask::Tile& tile) {
    R* d = d_scores.tile(g, p);
    multiply(Multiply{}, d, slopes + (d - d_scores.data), tile);
  });
}

template <class Kernels, class R>
void drop(const Kernels& kernels, const simd::ScoreTiles<R>& x, const ScorePlace& at,
          const Dropout& dropout) {
  for_each_live_tile(x, at, [&](int g, int p, const mask::Tile& tile) {
    drop_tile(kernels, x.tile(g, p), tile, at.b, at.h, dropout);
  });
}

// to[r] = Σ_d a(r, d)·b(r, d).
template <class T, class R>
struct RowDots {
  View<const T, 2> a;
  View<const R, 2> b;

  template <int Lanes>
  [[gnu::always_inline]] inline void operator()(R* to) const {
    for (Index r = 0; r < a.extent[0]; ++r) {
      const bool contiguous = a.stride[1] == 1 && b.stride[1] == 1;
      to[r] = contiguous ? dot<Lanes>(r, 1, 1) : dot<Lanes>(r, a.stride[1], b.stride[1]);
    }
  }

 private:
  template <int Lanes>
  [[gnu::always_inline]] inline R dot(Index r, Index of_a, Index of_b) const {
    const T* x = a.data + r * a.stride[0];
    const R* y = b.data + r * b.stride[0];
    const Index columns = a.extent[1];
    simd::Array<R, Lanes> sum = {};
    const auto add = [&](int c, Index d) { sum[c] += static_cast<R>(x[d * of_a]) * y[d * of_b]; };
    Index d = 0;
    for (; d + Lanes <= columns; d += Lanes) {
      for (int c = 0; c < Lanes; ++c) add(c, d + c);
    }
    for (int c = 0; d + c < columns; ++c) add(c, d + c);
    R total = 0;
    for (int c = 0; c < Lanes; ++c) total += sum[c];
    return total;
  }
};

}  // namespace HEED_ABI
}  // namespace heed
