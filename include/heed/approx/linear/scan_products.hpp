// Products of a chunk of rows with a state and with a chunk of columns: the four sums of a scan's
// gradients are of this form.
#pragma once

#include <algorithm>

#include "heed/approx/linear/scan_gradient_plan.hpp"
#include "heed/approx/linear/scan_queries.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

template <class T, bool Weighted>
class ScanProducts {
 public:
  using R = Accum<T>;

  ScanProducts(const ScanCall<T>& plan, const ScanGradientScratch<R>& scratch)
      : plan_(plan), scratch_(scratch) {}

  // Packs rows as columns: of features transposed for absorb_into, all four for add_columns.
  void pack(const ScanRows<R>& x, Index width, bool all) {
    const auto& kernels = plan_.kernels.of_sums;
    const auto features = matrix_of<const R>(x.features, x.count, plan_.features);
    const auto values = matrix_of<const R>(x.values, x.count, width);
    count_ = x.count;
    kernels.pack_b_transposed(features, feature_columns());
    finite_values_ = kernels.pack_b(values, scratch_.values.plain);
    if (!all) return;
    finite_features_ = kernels.pack_b(features, scratch_.features.plain);
    kernels.pack_b_transposed(values, scratch_.values.transposed);
  }

  // The mask of add_columns: row r sees the first visible[r] columns, an ascending or a descending
  // number. Scores are multiplied by 2^(exponent of the column − running_max of the row).
  void set_mask(Index rows) {
    const simd::TileShape& shape = plan_.tile_shape;
    const Index panels = shape.panels(count_);
    for (Index g = 0; g < shape.m_tiles(rows); ++g) {
      const Index* of_row = scratch_.visible + g * shape.mr;
      const Index most = *std::max_element(of_row, of_row + shape.mr);
      for (Index p = 0; p < panels; ++p) scratch_.live[g * panels + p] = most > p * shape.nr;
    }
  }

  // sums = rows · state, row by row times 2^(exponent − running_max).
  void read_state(const R* rows, Index count, const simd::PackedB<R>& state, Index m, R exponent,
                  const R* running_max, R* sums) {
    const auto tiles = simd::ScoreTiles<R>::of(plan_.tile_shape, sums, scratch_.all, count, m);
    gemm().qk(packed_rows(rows, state.k), state, tiles);
    if constexpr (Weighted) {
      for (Index r = 0; r < count; ++r) {
        const R factor = whole_power_of_2(exponent - running_max[r]);
        for (Index p = 0; p < tiles.panels; ++p) {
          R* part = tiles.row(r, p);
          for (Index c = 0; c < plan_.tile_shape.nr; ++c) part[c] *= factor;
        }
      }
    }
  }

  // sums += mask(rows · (the columns' features)ᵀ) · values.
  void add_values(const R* rows, Index count, const R* exponents, const R* running_max, R* sums) {
    add(packed_rows(rows, plan_.features), feature_columns(), scratch_.values.plain, finite_values_,
        count, exponents, running_max, sums);
  }
  // sums += mask(rows · (the columns' values)ᵀ) · features.
  void add_features(const R* rows, Index count, const R* exponents, const R* running_max, R* sums) {
    add(packed_rows(rows, scratch_.values.transposed.k), scratch_.values.transposed,
        scratch_.features.plain, finite_features_, count, exponents, running_max, sums);
  }

  // state += Σ features · values of the columns. Packed features are of no other use afterwards.
  void absorb_into(KvState<R>& state, const R* exponents) {
    if constexpr (Weighted) raise_to(state, exponents);
    const Index nr = plan_.tile_shape.nr;
    for (Index p = 0; p < plan_.tile_shape.panels(count_); ++p) {
      const auto rows =
          simd::ScoreTiles<R>::of(plan_.tile_shape, feature_columns().panel(p), scratch_.all,
                                  plan_.features, std::min(nr, count_ - p * nr));
      gemm().pv(rows, scratch_.values.plain.from_row(p * nr), plan_.accumulator(state.sum));
    }
  }

 private:
  const simd::GemmKernels<R>& gemm() const { return plan_.kernels.of_sums.gemm; }

  // [F, chunk], with room for whole row tiles behind the last feature.
  simd::PackedB<R> feature_columns() const {
    simd::PackedB<R> columns = scratch_.features.transposed;
    columns.k = plan_.features;
    return columns;
  }
  simd::PackedA<const R> packed_rows(const R* rows, Index k) const {
    return {rows, k, plan_.tile_shape};
  }

  void add(const simd::PackedA<const R>& rows, const simd::PackedB<R>& transposed,
           const simd::PackedB<R>& plain, bool finite, Index count, const R* exponents,
           const R* running_max, R* sums) {
    const auto scores =
        simd::ScoreTiles<R>::of(plan_.tile_shape, scratch_.scores, scratch_.live, count, count_);
    gemm().qk(rows, transposed, scores);
    mask(scores, exponents, running_max);
    const simd::Accumulator<R> to{sums, plain.columns, plan_.tile_shape};
    if (finite) {
      gemm().pv(scores, plain, to);
    } else {
      gemm().pv_masked(scores, plain, scratch_.unmasked, to);
    }
  }

  void mask(const simd::ScoreTiles<R>& scores, const R* exponents, const R* running_max) {
    using Epilogue = ScanEpilogue<R, Weighted>;
    const auto keep_visible = plan_.template compiled<Epilogue, R*, typename Epilogue::Part>();
    const simd::TileShape& shape = plan_.tile_shape;
    for (Index g = 0; g < scores.m_tiles; ++g) {
      for (Index p = 0; p < scores.panels; ++p) {
        if (!scores.live(g, p)) continue;
        typename Epilogue::Part part{shape.mr, {}};
        for (int r = 0; r < shape.mr; ++r) {
          part.visible[r] = scratch_.visible[g * shape.mr + r] - p * shape.nr;
        }
        R* tile = scores.tile(g, p);
        keep_visible({exponents + p * shape.nr, running_max + g * shape.mr,
                      scratch_.unmasked + (tile - scores.data)},
                     tile, part);
      }
    }
  }

  // Brings the state and the columns to the larger of their exponents. NaN is not larger.
  void raise_to(KvState<R>& state, const R* exponents) {
    R top = state.exponent;
    for (Index j = 0; j < count_; ++j) {
      if (exponents[j] > top) top = exponents[j];
    }
    rescale(plan_, state, top);
    const auto scale = plan_.template compiled<ScaleColumns<R>, R*, Index>();
    for (Index p = 0; p < plan_.tile_shape.panels(count_); ++p) {
      scale({exponents + p * plan_.tile_shape.nr, top}, feature_columns().panel(p), plan_.features);
    }
  }

  const ScanCall<T>& plan_;
  ScanGradientScratch<R> scratch_;
  Index count_ = 0;
  bool finite_values_ = true, finite_features_ = true;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
