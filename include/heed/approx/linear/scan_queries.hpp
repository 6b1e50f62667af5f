// The queries' side of sums over prefixes: a chunk of rows against the sum of the keys before its
// own, and against its own under the mask.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "heed/approx/linear/raise.hpp"
#include "heed/approx/linear/scan_keys.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// Row r of a tile keeps its first visible[r] − first numbers, each times 2^(exponent of the key −
// top of the row) where Weighted; the others become 0, NaN or not.
template <class R, bool Weighted>
struct ScanEpilogue {
  const R* exponents;
  const R* running_max;
  std::uint8_t* unmasked;

  // Rows [0, rows) of a tile; row r sees keys [0, visible[r]).
  struct Part {
    int rows;
    Index visible[simd::max_mr];
  };

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* scores, const Part& part) const {
    for (int r = 0; r < part.rows; ++r, scores += Panel) {
      simd::Array<R, Panel> row;
      const auto count = static_cast<int>(std::clamp<Index>(part.visible[r], 0, Panel));
      for (int c = 0; c < Panel; ++c) row[c] = scores[c];
      if constexpr (Weighted) {
        const R top = running_max[r];
        for (int c = 0; c < Panel; ++c) row[c] *= whole_power_of_2(exponents[c] - top);
      }
      for (int c = 0; c < Panel; ++c) scores[c] = select(c < count, row[c], R(0));
      for (int c = 0; c < Panel; ++c) unmasked[r * Panel + c] = c < count ? 1 : 0;
    }
  }
};

// Rows of tiles are multiplied by 2^(exponent − running_max[r]).
template <class R>
struct ScaleRows {
  R exponent;
  const R* running_max;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* scores, const Panels& rows) const {
    for (Index r = 0; r < rows.count; ++r, scores += Panel) {
      const R factor = whole_power_of_2(exponent - running_max[r]);
      for (int c = 0; c < Panel; ++c) scores[c] *= factor;
    }
  }
};

// A chunk of queries of one head; rows behind the last are 0 and belong to nobody.
template <class T, class Map>
class ScanQueries {
 public:
  using R = Accum<T>;

  ScanQueries(const ScanCall<T>& plan, const Map& map, const ScanScratch<R>& scratch)
      : plan_(plan), map_(map), scratch_(scratch) {}

  // Rows [begin, end) of q, at most `chunk`, under a mask.
  void load(const View<const T, 2>& q, const mask::KeyLimit& visible, Index begin, Index end) {
    visible_ = visible;
    begin_ = begin;
    end_ = end;
    map_.queries(plan_, slice(q, begin, end - begin), scratch_.query_tiles, scratch_.exponents,
                 scratch_.map);
    std::fill_n(scratch_.acc, acc().size(plan_.tile_shape, padded(), plan_.columns), R(0));
  }

  // The largest exponent that each row sees: of the state and of its keys in the chunk.
  void find_running_max(R exponent, const ScanKeys<T, Map>* keys) {
    if constexpr (Map::weighted) {
      Index j = 0;
      R top = exponent;
      for (Index i = begin_; i < end_; ++i) {
        for (; keys != nullptr && j < visible_.keys(i) - keys->begin(); ++j) {
          if (scratch_.key_exponents[j] > top) top = scratch_.key_exponents[j];
        }
        scratch_.running_max[i - begin_] = top;
      }
      std::fill(scratch_.running_max + (end_ - begin_), scratch_.running_max + padded(), top);
    }
  }

  // acc += (φ(q) φ(k)ᵀ, masked) · [v, 1] for the chunk of keys.
  void attend_chunk(const ScanKeys<T, Map>& keys) {
    for (Index p = 0; p < keys.panels(); ++p) {
      const int first = first_live(keys.begin() + p * plan_.tile_shape.nr);
      if (first == m_tiles()) break;
      multiply_features(keys.features(p), first);
      mask(keys, p, first);
      const simd::ScoreTiles<R> weights = scores(keys.count(p)).from_tile(first);
      const simd::Accumulator<R> to = acc().from_tile(first);
      if (keys.finite()) {
        gemm().pv(weights, keys.values(p), to);
      } else {
        const Index skipped = scores(keys.count(p)).tile(first, 0) - scratch_.scores;
        gemm().pv_masked(weights, keys.values(p), scratch_.unmasked + skipped, to);
      }
    }
  }

  // acc += φ(q) · state, which scratch holds as values; every row sees all of it. The features are
  // of no other use afterwards.
  void attend_state(R exponent) {
    if constexpr (Map::weighted) scale_tiles(exponent);
    const simd::PackedB<R> state{scratch_.published, plan_.features, plan_.columns,
                                 plan_.tile_shape};
    gemm().pv(features(), state, acc());
  }

  // out = acc / its last column, 0 where that is 0; lse beside it where it is wanted.
  void write(const View<T, 2>& out, const View<R, 1>& lse) const {
    const Index mr = plan_.tile_shape.mr;
    for (Index first = 0; first < end_ - begin_; first += mr) {
      const Index count = std::min(mr, end_ - begin_ - first);
      R factor[simd::max_mr];
      for (Index r = 0; r < count; ++r) {
        const R sum = acc().at(first + r, out.extent[1]);
        factor[r] = sum == R(0) ? R(0) : R(1) / raised_sum(first + r, sum, out.extent[1]);
        if (lse.data != nullptr) lse(begin_ + first + r) = log_of(sum, first + r);
      }
      plan_.kernels.of_tensors.store_rows(acc(), first, factor, slice(out, begin_ + first, count));
    }
  }

 private:
  // The sum of a row, multiplied with its accumulator where it has no reciprocal.
  R raised_sum(Index row, R sum, Index Dv) const {
    const R raise = raise_of(sum);
    if (raise == R(1)) return sum;
    for (Index d = 0; d < Dv; ++d) acc().at(row, d) *= raise;
    return sum * raise;
  }

  const simd::GemmKernels<R>& gemm() const { return plan_.kernels.of_sums.gemm; }

  int m_tiles() const { return static_cast<int>(plan_.tile_shape.m_tiles(end_ - begin_)); }
  Index padded() const { return Index{m_tiles()} * plan_.tile_shape.mr; }

  // Views of scratch: the features of the rows, their scores with a panel of keys, their sums.
  simd::ScoreTiles<R> features() const {
    return simd::ScoreTiles<R>::of(plan_.tile_shape, scratch_.query_tiles, scratch_.coverage,
                                   padded(), plan_.features);
  }
  simd::ScoreTiles<R> scores(Index keys) const {
    return simd::ScoreTiles<R>::of(plan_.tile_shape, scratch_.scores, scratch_.coverage, padded(),
                                   keys);
  }
  simd::Accumulator<R> acc() const { return plan_.accumulator(scratch_.acc); }

  // scores = φ(q) φ(k)ᵀ of the row tiles from `first` on and one panel of keys: φ(k) stands as
  // values do, and one panel of scores as sums do.
  void multiply_features(const simd::PackedB<R>& keys, int first) {
    const simd::Accumulator<R> all{scratch_.scores, plan_.tile_shape.nr, plan_.tile_shape};
    const simd::Accumulator<R> to = all.from_tile(first);
    std::fill(to.data, all.tile(m_tiles(), 0), R(0));
    gemm().pv(features().from_tile(first), keys, to);
  }

  void scale_tiles(R exponent) {
    const simd::ScoreTiles<R> tiles = features();
    const Index rows = plan_.tile_shape.mr;
    const auto scale_rows = plan_.template compiled<ScaleRows<R>, R*, Panels>();
    for (Index g = 0; g < tiles.m_tiles; ++g) {
      for (Index p = 0; p < tiles.panels; ++p) {
        scale_rows({exponent, scratch_.running_max + g * rows}, tiles.tile(g, p), Panels{rows});
      }
    }
  }

  // The first row tile that sees something of the panel that begins with key `first`, as do all
  // behind it.
  int first_live(Index first) const {
    for (int g = 0; g < m_tiles(); ++g) {
      const Index last = std::min<Index>(begin_ + (g + 1) * plan_.tile_shape.mr, end_) - 1;
      if (visible_.keys(last) > first) return g;
    }
    return m_tiles();
  }

  void mask(const ScanKeys<T, Map>& keys, Index p, int first) {
    using Epilogue = ScanEpilogue<R, Map::weighted>;
    const auto keep_visible = plan_.template compiled<Epilogue, R*, typename Epilogue::Part>();
    const simd::ScoreTiles<R> tiles = scores(keys.count(p));
    const Index panel = plan_.tile_shape.nr;
    for (Index g = first; g < tiles.m_tiles; ++g) {
      const Index row = g * plan_.tile_shape.mr;
      typename Epilogue::Part part{plan_.tile_shape.mr, {}};
      for (int r = 0; r < part.rows; ++r) {
        const Index i = begin_ + row + r;
        part.visible[r] = i < end_ ? visible_.keys(i) - keys.begin() - p * panel : 0;
      }
      R* tile = tiles.tile(g, 0);
      keep_visible({scratch_.key_exponents + p * panel, scratch_.running_max + row,
                    scratch_.unmasked + (tile - tiles.data)},
                   tile, part);
    }
  }

  // ln of Σ φ(q)·φ(k), −inf for 0.
  R log_of(R sum, Index row) const {
    R exponent = 0;
    if constexpr (Map::weighted) exponent = scratch_.exponents[row] + scratch_.running_max[row];
    return mask_if(sum == R(0), (std::log2(sum) + exponent) * std::numbers::ln2_v<R>);
  }

  const ScanCall<T>& plan_;
  const Map& map_;
  ScanScratch<R> scratch_;
  mask::KeyLimit visible_{};
  Index begin_ = 0, end_ = 0;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
