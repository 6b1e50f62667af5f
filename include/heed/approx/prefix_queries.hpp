// The queries' side of sums over prefixes: a chunk of rows against the sum of the keys before its
// own, and against its own under the mask.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

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
        for (int c = 0; c < Panel; ++c) row[c] *= power_of_2(exponents[c] - top);
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
      const R factor = power_of_2(exponent - tops[r]);
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
    const Index features = plan_.features, rows = padded();
    map_(plan_, slice(q, begin, end - begin), scratch_.query_rows, scratch_.exponents, scratch_.map,
         false);
    std::fill(scratch_.query_rows + (end - begin) * features, scratch_.query_rows + rows * features,
              R(0));
    std::fill_n(scratch_.acc, rows * plan_.columns, R(0));
  }

  // acc += φ(q) · state, which scratch holds as values; every row sees all of it.
  void attend_state(R exponent) {
    fill_cells();
    if constexpr (Map::weighted) scale_cells(exponent);
    simd::Strip<R> strip = this->strip();
    strip.panels = static_cast<int>(plan_.cell.panels(plan_.features));
    strip.keys = static_cast<int>(plan_.features);
    strip.capacity = plan_.features;
    strip.v = scratch_.state;
    strip.live = scratch_.live;
    strip.scores = scratch_.query_cells;
    simd::kernels<R>(isa()).accumulate(strip);
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
    const auto& kernels = simd::kernels<R>(isa());
    for (Index p = 0; p < keys.panels(); ++p) {
      simd::Strip<R> strip = keys.strip(p);
      strip.queries = static_cast<int>(end_ - begin_);
      strip.groups = static_cast<int>(plan_.cell.groups(end_ - begin_));
      strip.q = scratch_.query_rows;
      strip.live = scratch_.some;
      strip.scores = scratch_.scores;
      strip.acc = scratch_.acc;
      find_live(keys.begin() + p * plan_.cell.panel, strip.groups);
      kernels.dots(strip);
      mask(keys, p, strip.groups);
      if (keys.finite()) {
        kernels.accumulate(strip);
      } else {
        kernels.accumulate_seen(strip, scratch_.seen);
      }
    }
  }

  // out = acc / its last column, 0 where that is 0; lse beside it where it is wanted.
  void write(const View<T, 2>& out, const View<R, 1>& lse) const {
    const simd::Geometry& cell = plan_.cell;
    for (Index first = 0; first < end_ - begin_; first += cell.rows) {
      const Index count = std::min<Index>(cell.rows, end_ - begin_ - first);
      R factor[simd::most_rows];
      for (Index r = 0; r < count; ++r) {
        const R sum = scratch_.acc[cell.place(first + r, out.extent[1], plan_.columns)];
        factor[r] = sum == R(0) ? R(0) : R(1) / sum;
        if (lse.data != nullptr) lse(begin_ + first + r) = log_of(sum, first + r);
      }
      simd::kernels<T>(isa()).store_rows(scratch_.acc + first * plan_.columns, plan_.columns, 0,
                                         factor, static_cast<int>(count),
                                         slice(out, begin_ + first, count));
    }
  }

 private:
  Index padded() const { return plan_.cell.groups(end_ - begin_) * plan_.cell.rows; }

  simd::Strip<R> strip() const {
    simd::Strip<R> strip;
    strip.queries = static_cast<int>(end_ - begin_);
    strip.groups = static_cast<int>(plan_.cell.groups(end_ - begin_));
    strip.columns = plan_.columns;
    strip.acc = scratch_.acc;
    return strip;
  }

  // The features as weights of a strip: [groups, panels of F, rows, panel].
  void fill_cells() {
    const Index features = plan_.features, panel = plan_.cell.panel;
    const Index panels = plan_.cell.panels(features);
    const Index group = plan_.cell.rows;
    for (Index row = 0; row < padded(); ++row) {
      for (Index p = 0; p < panels; ++p) {
        R* to = scratch_.query_cells + ((row / group * panels + p) * group + row % group) * panel;
        std::copy_n(scratch_.query_rows + row * features + p * panel,
                    std::min(panel, features - p * panel), to);
      }
    }
  }

  void scale_cells(R exponent) {
    const Index panels = plan_.cell.panels(plan_.features), rows = plan_.cell.rows;
    for (Index at = 0; at < plan_.cell.groups(end_ - begin_) * panels; ++at) {
      const ScaleRows<R> scale{exponent, scratch_.tops + at / panels * rows};
      simd::rewriter<R, ScaleRows<R>, Panels>(isa())(
          scale, scratch_.query_cells + at * rows * plan_.cell.panel, Panels{rows});
    }
  }

  // Which groups see something of the panel that begins with key `first`.
  void find_live(Index first, int groups) {
    for (int g = 0; g < groups; ++g) {
      const Index last = std::min<Index>(begin_ + Index{g + 1} * plan_.cell.rows, end_) - 1;
      scratch_.some[g] = visible_.keys(last) > first ? 1 : 0;
    }
  }

  void mask(const PrefixKeys<T, Map>& keys, Index p, int groups) {
    using Cell = PrefixCell<R, Map::weighted>;
    const Index panel = plan_.cell.panel;
    const int rows = plan_.cell.rows;
    for (int g = 0; g < groups; ++g) {
      if (scratch_.some[g] == 0) continue;
      typename Cell::Part part{rows, {}};
      for (int r = 0; r < rows; ++r) {
        const Index i = begin_ + Index{g} * rows + r;
        part.visible[r] = i < end_ ? visible_.keys(i) - keys.begin() - p * panel : 0;
      }
      const Index at = Index{g} * rows;
      const Cell cell{scratch_.key_exponents + p * panel, scratch_.tops + at,
                      scratch_.seen + at * panel};
      simd::rewriter<R, Cell, typename Cell::Part>(isa())(cell, scratch_.scores + at * panel, part);
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
