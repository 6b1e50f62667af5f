// The queries' side of sums over prefixes: a chunk of rows against the sum of the keys before its
// own, and against its own under the mask.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "heed/approx/linear/scan_keys.hpp"
#include "heed/approx/memory.hpp"

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

  ScanQueries(const ScanPlan& plan, const Map& map, const ScanScratch<R>& scratch)
      : plan_(plan), map_(map), scratch_(scratch) {}

  // Rows [begin, end) of q, at most `chunk`, under a mask.
  void load(const View<const T, 2>& q, const mask::KeyLimit& visible, Index begin, Index end) {
    visible_ = visible;
    begin_ = begin;
    end_ = end;
    map_.queries(plan_, slice(q, begin, end - begin), scratch_.query_cells, scratch_.exponents,
                 scratch_.map);
    std::fill_n(scratch_.acc, padded() * plan_.columns, R(0));
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
      const Index first = first_live(keys.begin() + p * plan_.tile_shape.nr) * plan_.tile_shape.mr;
      if (first >= padded()) break;
      multiply_features(keys.features(p), first);
      mask(keys, p, first);
      simd::TileArgs<R> args = keys.args(p);
      args.m_tiles = static_cast<int>((padded() - first) / plan_.tile_shape.mr);
      args.scores = scratch_.scores + first * plan_.tile_shape.nr;
      args.acc = scratch_.acc + first * plan_.columns;
      if (keys.finite()) {
        kernels().pv(args);
      } else {
        kernels().pv_masked(args, scratch_.unmasked + first * plan_.tile_shape.nr);
      }
    }
  }

  // acc += φ(q) · state, which scratch holds as values; every row sees all of it. The features are
  // of no other use afterwards.
  void attend_state(R exponent) {
    if constexpr (Map::weighted) scale_cells(exponent);
    simd::TileArgs<R> args = features_from(0);
    args.columns = plan_.columns;
    args.v = scratch_.shown;
    args.acc = scratch_.acc;
    kernels().pv(args);
  }

  // out = acc / its last column, 0 where that is 0; lse beside it where it is wanted.
  void write(const View<T, 2>& out, const View<R, 1>& lse) const {
    const simd::TileShape& tile_shape = plan_.tile_shape;
    for (Index first = 0; first < end_ - begin_; first += tile_shape.mr) {
      const Index count = std::min<Index>(tile_shape.mr, end_ - begin_ - first);
      R factor[simd::max_mr];
      for (Index r = 0; r < count; ++r) {
        const R sum = scratch_.acc[tile_shape.offset(first + r, out.extent[1], plan_.columns)];
        factor[r] = sum == R(0) ? R(0) : R(1) / raised_sum(first + r, sum, out.extent[1]);
        if (lse.data != nullptr) lse(begin_ + first + r) = log_of(sum, first + r);
      }
      simd::kernels<T>(isa()).store_rows(scratch_.acc + first * plan_.columns, plan_.columns, 0,
                                         factor, static_cast<int>(count),
                                         slice(out, begin_ + first, count));
    }
  }

 private:
  // The sum of a row, multiplied with its accumulator where it has no reciprocal.
  R raised_sum(Index row, R sum, Index Dv) const {
    const R raise = raise_of(sum);
    if (raise == R(1)) return sum;
    for (Index d = 0; d < Dv; ++d)
      scratch_.acc[plan_.tile_shape.offset(row, d, plan_.columns)] *= raise;
    return sum * raise;
  }

  static const simd::Kernels<R>& kernels() { return simd::kernels<R>(isa()); }

  Index padded() const { return plan_.tile_shape.m_tiles(end_ - begin_) * plan_.tile_shape.mr; }

  // A query sub-block whose weights are the features of the rows from `first` on.
  simd::TileArgs<R> features_from(Index first) const {
    simd::TileArgs<R> args;
    args.m_tiles = static_cast<int>((padded() - first) / plan_.tile_shape.mr);
    args.panels = static_cast<int>(plan_.tile_shape.panels(plan_.features));
    args.keys = static_cast<int>(plan_.features);
    args.capacity = plan_.features;
    args.coverage = scratch_.coverage;
    args.scores = scratch_.query_cells + first * args.panels * plan_.tile_shape.nr;
    return args;
  }

  // scores = φ(q) φ(k)ᵀ of the rows from `first` on and one panel of keys, which stands as values
  // do in row tiles.
  void multiply_features(const R* keys, Index first) {
    simd::TileArgs<R> args = features_from(first);
    args.columns = plan_.tile_shape.nr;
    args.v = keys;
    args.acc = scratch_.scores + first * plan_.tile_shape.nr;
    std::fill_n(args.acc, (padded() - first) * plan_.tile_shape.nr, R(0));
    kernels().pv(args);
  }

  void scale_cells(R exponent) {
    const Index panels = plan_.tile_shape.panels(plan_.features), rows = plan_.tile_shape.mr;
    for (Index at = 0; at < plan_.tile_shape.m_tiles(end_ - begin_) * panels; ++at) {
      const ScaleRows<R> scale{exponent, scratch_.running_max + at / panels * rows};
      simd::for_isa<R, ScaleRows<R>, R*, Panels>(isa())(
          scale, scratch_.query_cells + at * rows * plan_.tile_shape.nr, Panels{rows});
    }
  }

  // The first group that sees something of the panel that begins with key `first`, as do all behind
  // it.
  Index first_live(Index first) const {
    const Index groups = padded() / plan_.tile_shape.mr;
    for (Index g = 0; g < groups; ++g) {
      const Index last = std::min<Index>(begin_ + (g + 1) * plan_.tile_shape.mr, end_) - 1;
      if (visible_.keys(last) > first) return g;
    }
    return groups;
  }

  void mask(const ScanKeys<T, Map>& keys, Index p, Index first) {
    using Epilogue = ScanEpilogue<R, Map::weighted>;
    const auto keep_visible = simd::for_isa<R, Epilogue, R*, typename Epilogue::Part>(isa());
    const Index panel = plan_.tile_shape.nr;
    for (Index row = first; row < padded(); row += plan_.tile_shape.mr) {
      typename Epilogue::Part part{plan_.tile_shape.mr, {}};
      for (int r = 0; r < part.rows; ++r) {
        const Index i = begin_ + row + r;
        part.visible[r] = i < end_ ? visible_.keys(i) - keys.begin() - p * panel : 0;
      }
      keep_visible({scratch_.key_exponents + p * panel, scratch_.running_max + row,
                    scratch_.unmasked + row * panel},
                   scratch_.scores + row * panel, part);
    }
  }

  // ln of Σ φ(q)·φ(k), −inf for 0.
  R log_of(R sum, Index row) const {
    R exponent = 0;
    if constexpr (Map::weighted) exponent = scratch_.exponents[row] + scratch_.running_max[row];
    return mask_if(sum == R(0), (std::log2(sum) + exponent) * std::numbers::ln2_v<R>);
  }

  const ScanPlan& plan_;
  const Map& map_;
  ScanScratch<R> scratch_;
  mask::KeyLimit visible_{};
  Index begin_ = 0, end_ = 0;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
