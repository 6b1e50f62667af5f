// The queries' side of sums over prefixes: a chunk of rows against the sum of the keys before its
// own, and against its own under the mask.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "heed/approx/memory.hpp"
#include "heed/approx/prefix_keys.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// Row r of a cell keeps its first visible[r] − first numbers, each times 2^(exponent of the key −
// top of the row) where Weighted; the others become 0, NaN or not.
template <class R, bool Weighted>
struct PrefixCell {
  const R* exponents;
  const R* tops;
  std::uint8_t* seen;

  // What a cell is: rows [0, rows), of which row r sees keys [0, visible[r]).
  struct Part {
    int rows;
    Index visible[simd::most_rows];
  };

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* cell, const Part& part) const {
    for (int r = 0; r < part.rows; ++r, cell += Panel) {
      simd::Array<R, Panel> row;
      const auto count = static_cast<int>(std::clamp<Index>(part.visible[r], 0, Panel));
      for (int c = 0; c < Panel; ++c) row[c] = cell[c];
      if constexpr (Weighted) {
        const R top = tops[r];
        for (int c = 0; c < Panel; ++c) row[c] *= whole_power_of_2(exponents[c] - top);
      }
      for (int c = 0; c < Panel; ++c) cell[c] = select(c < count, row[c], R(0));
      for (int c = 0; c < Panel; ++c) seen[r * Panel + c] = c < count ? 1 : 0;
    }
  }
};

// Rows of cells are multiplied by 2^(exponent − tops[r]).
template <class R>
struct ScaleRows {
  R exponent;
  const R* tops;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* cell, const Panels& rows) const {
    for (Index r = 0; r < rows.count; ++r, cell += Panel) {
      const R factor = whole_power_of_2(exponent - tops[r]);
      for (int c = 0; c < Panel; ++c) cell[c] *= factor;
    }
  }
};

// A chunk of queries of one head; rows behind the last are 0 and belong to nobody.
template <class T, class Map>
class PrefixQueries {
 public:
  using R = Accum<T>;

  PrefixQueries(const PrefixPlan& plan, const Map& map, const PrefixScratch<R>& scratch)
      : plan_(plan), map_(map), scratch_(scratch) {}

  // Rows [begin, end) of q, at most `chunk`, under a mask.
  void load(const View<const T, 2>& q, const Visible& visible, Index begin, Index end) {
    visible_ = visible;
    begin_ = begin;
    end_ = end;
    map_.queries(plan_, slice(q, begin, end - begin), scratch_.query_cells, scratch_.exponents,
                 scratch_.map);
    std::fill_n(scratch_.acc, padded() * plan_.columns, R(0));
  }

  // The largest exponent that each row sees: of the state and of its keys in the chunk.
  void find_tops(R exponent, const PrefixKeys<T, Map>* keys) {
    if constexpr (Map::weighted) {
      Index j = 0;
      R top = exponent;
      for (Index i = begin_; i < end_; ++i) {
        for (; keys != nullptr && j < visible_.keys(i) - keys->begin(); ++j) {
          if (scratch_.key_exponents[j] > top) top = scratch_.key_exponents[j];
        }
        scratch_.tops[i - begin_] = top;
      }
      std::fill(scratch_.tops + (end_ - begin_), scratch_.tops + padded(), top);
    }
  }

  // acc += (φ(q) φ(k)ᵀ, masked) · [v, 1] for the chunk of keys.
  void attend_chunk(const PrefixKeys<T, Map>& keys) {
    for (Index p = 0; p < keys.panels(); ++p) {
      const Index first = first_live(keys.begin() + p * plan_.cell.panel) * plan_.cell.rows;
      if (first >= padded()) break;
      multiply_features(keys.features(p), first);
      mask(keys, p, first);
      simd::Strip<R> strip = keys.strip(p);
      strip.groups = static_cast<int>((padded() - first) / plan_.cell.rows);
      strip.scores = scratch_.scores + first * plan_.cell.panel;
      strip.acc = scratch_.acc + first * plan_.columns;
      if (keys.finite()) {
        kernels().accumulate(strip);
      } else {
        kernels().accumulate_seen(strip, scratch_.seen + first * plan_.cell.panel);
      }
    }
  }

  // acc += φ(q) · state, which scratch holds as values; every row sees all of it. The features are
  // of no other use afterwards.
  void attend_state(R exponent) {
    if constexpr (Map::weighted) scale_cells(exponent);
    simd::Strip<R> strip = features_from(0);
    strip.columns = plan_.columns;
    strip.v = scratch_.shown;
    strip.acc = scratch_.acc;
    kernels().accumulate(strip);
  }

  // out = acc / its last column, 0 where that is 0; lse beside it where it is wanted.
  void write(const View<T, 2>& out, const View<R, 1>& lse) const {
    const simd::Geometry& cell = plan_.cell;
    for (Index first = 0; first < end_ - begin_; first += cell.rows) {
      const Index count = std::min<Index>(cell.rows, end_ - begin_ - first);
      R factor[simd::most_rows];
      for (Index r = 0; r < count; ++r) {
        const R sum = scratch_.acc[cell.place(first + r, out.extent[1], plan_.columns)];
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
    for (Index d = 0; d < Dv; ++d) scratch_.acc[plan_.cell.place(row, d, plan_.columns)] *= raise;
    return sum * raise;
  }

  static const simd::Kernels<R>& kernels() { return simd::kernels<R>(isa()); }

  Index padded() const { return plan_.cell.groups(end_ - begin_) * plan_.cell.rows; }

  // A strip whose weights are the features of the rows from `first` on.
  simd::Strip<R> features_from(Index first) const {
    simd::Strip<R> strip;
    strip.groups = static_cast<int>((padded() - first) / plan_.cell.rows);
    strip.panels = static_cast<int>(plan_.cell.panels(plan_.features));
    strip.keys = static_cast<int>(plan_.features);
    strip.capacity = plan_.features;
    strip.live = scratch_.live;
    strip.scores = scratch_.query_cells + first * strip.panels * plan_.cell.panel;
    return strip;
  }

  // scores = φ(q) φ(k)ᵀ of the rows from `first` on and one panel of keys, which stands as values
  // do in a strip.
  void multiply_features(const R* keys, Index first) {
    simd::Strip<R> strip = features_from(first);
    strip.columns = plan_.cell.panel;
    strip.v = keys;
    strip.acc = scratch_.scores + first * plan_.cell.panel;
    std::fill_n(strip.acc, (padded() - first) * plan_.cell.panel, R(0));
    kernels().accumulate(strip);
  }

  void scale_cells(R exponent) {
    const Index panels = plan_.cell.panels(plan_.features), rows = plan_.cell.rows;
    for (Index at = 0; at < plan_.cell.groups(end_ - begin_) * panels; ++at) {
      const ScaleRows<R> scale{exponent, scratch_.tops + at / panels * rows};
      simd::rewriter<R, ScaleRows<R>, Panels>(isa())(
          scale, scratch_.query_cells + at * rows * plan_.cell.panel, Panels{rows});
    }
  }

  // The first group that sees something of the panel that begins with key `first`, as do all behind
  // it.
  Index first_live(Index first) const {
    const Index groups = padded() / plan_.cell.rows;
    for (Index g = 0; g < groups; ++g) {
      const Index last = std::min<Index>(begin_ + (g + 1) * plan_.cell.rows, end_) - 1;
      if (visible_.keys(last) > first) return g;
    }
    return groups;
  }

  void mask(const PrefixKeys<T, Map>& keys, Index p, Index first) {
    using Cell = PrefixCell<R, Map::weighted>;
    const auto rewrite = simd::rewriter<R, Cell, typename Cell::Part>(isa());
    const Index panel = plan_.cell.panel;
    for (Index row = first; row < padded(); row += plan_.cell.rows) {
      typename Cell::Part part{plan_.cell.rows, {}};
      for (int r = 0; r < part.rows; ++r) {
        const Index i = begin_ + row + r;
        part.visible[r] = i < end_ ? visible_.keys(i) - keys.begin() - p * panel : 0;
      }
      rewrite(
          {scratch_.key_exponents + p * panel, scratch_.tops + row, scratch_.seen + row * panel},
          scratch_.scores + row * panel, part);
    }
  }

  // ln of Σ φ(q)·φ(k), −inf for 0.
  R log_of(R sum, Index row) const {
    R exponent = 0;
    if constexpr (Map::weighted) exponent = scratch_.exponents[row] + scratch_.tops[row];
    return mask_if(sum == R(0), (std::log2(sum) + exponent) * std::numbers::ln2_v<R>);
  }

  const PrefixPlan& plan_;
  const Map& map_;
  PrefixScratch<R> scratch_;
  Visible visible_{};
  Index begin_ = 0, end_ = 0;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
