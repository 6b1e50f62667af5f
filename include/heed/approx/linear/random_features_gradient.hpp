// The gradient of positive random features. With φ_n = e^(a_n) and a_n = ω_n·x − |x|²/2:
//   d_a = φ ∘ d_φ     d_x = d_a·ω − (Σ_n d_a_n)·x
// Directions are constants. Choromanski et al., "Rethinking Attention with Performers" (2021),
// Lemma 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "heed/approx/linear/scan_plan.hpp"
#include "heed/approx/orthogonal.hpp"
#include "heed/core/elementary.hpp"
#include "heed/core/zeros.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// A row of ω·x becomes features in (0, 1], the largest above 1/2, and the whole exponent of 2 that
// they are to be multiplied by.
template <class R>
struct ExponentialRow {
  Index stride, panels;  // from a panel of the row to the next
  R norm;                // |x|²/2
  R* exponent;           // written

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* row) const {
    constexpr R huge = std::numeric_limits<R>::max() / 4, log2_e = std::numbers::log2e_v<R>;
    simd::Array<R, Panel> top;
    for (int c = 0; c < Panel; ++c) top[c] = -huge;
    for (Index p = 0; p < panels; ++p) {
      const R* x = row + p * stride;
      for (int c = 0; c < Panel; ++c) top[c] = select(x[c] > top[c], x[c], top[c]);
    }
    R most = -huge;
    for (int c = 0; c < Panel; ++c) most = select(top[c] > most, top[c], most);
    const R whole = norm * log2_e;
    const R shift = select(whole < huge, whole, huge);  // the features of so long a row are 0
    *exponent = std::ceil(most * log2_e - shift);
    const R down = shift + *exponent;
    for (Index p = 0; p < panels; ++p) {
      R* x = row + p * stride;
      for (int c = 0; c < Panel; ++c) {
        constexpr R lowest = Exp2<R>::lowest + 1;
        const R logarithm = x[c] * log2_e - down;
        R power = select(logarithm < R(0), logarithm, R(0));
        power = select(power > lowest, power, lowest);
        x[c] = select(std::isnan(logarithm), logarithm, exp2_of_negative(power));
      }
    }
  }
};

template <class T>
class RandomFeaturesGradient {
 public:
  using R = Accum<T>;
  static constexpr bool weighted = true;

  RandomFeaturesGradient(Index m, Index D, double scale, std::uint64_t seed)
      : m_(m),
        D_(D),
        factor_(static_cast<R>(std::sqrt(std::abs(scale)))),
        query_sign_(scale < 0 ? R(-1) : R(1)) {
    const simd::PackedKernels<R>& kernels = simd::element_kernels<R>(isa());
    const simd::TileShape& shape = kernels.tile_shape;
    const std::vector<double> directions = orthogonal_gaussians(m, D, seed);
    std::vector<R> rows(directions.size());
    std::transform(directions.begin(), directions.end(), rows.begin(),
                   [](double x) { return static_cast<R>(x); });
    const View<const R, 2> of_rows{rows.data(), {m, D}, {D, 1}};
    transposed_ = zeros<R>(checked_product(D, shape.columns_in_panels(m)));
    plain_ = zeros<R>(checked_product(m, shape.columns_in_panels(D)));
    kernels.pack_b_transposed(of_rows, {transposed_.data(), D, shape.columns_in_panels(m), shape});
    kernels.pack_b(of_rows, {plain_.data(), m, shape.columns_in_panels(D), shape});
    coverage_.assign(
        static_cast<std::size_t>(shape.m_tiles(ScanPlan::chunk) * shape.panels(std::max(m, D))), 1);
  }

  R query_sign() const { return query_sign_; }
  Index scratch(const ScanPlan& plan) const {
    const simd::TileShape& shape = plan.tile_shape;
    const Index rows = shape.rows_in_tiles(ScanPlan::chunk);
    return checked_product(rows, D_ + shape.columns_in_panels(std::max(m_, D_)) + m_);
  }

  // to [rows, m], the features of sign·x but for 2^exponents.
  void features(const ScanCall<T>& plan, const View<const T, 2>& x, R sign, R* to, R* exponents,
                R* scratch) const {
    const simd::TileShape& shape = plan.tile_shape;
    const Index count = x.extent[0];
    const auto rows = scaled_rows(plan, x, sign, scratch);
    const auto tiles = multiply(plan, rows, transposed_, m_, count, tiles_in(plan, scratch));
    hide_padding(tiles);
    const auto exponential = plan.template compiled<ExponentialRow<R>, R*>();
    for (Index r = 0; r < count; ++r) {
      exponential(
          {tiles.tile_size(), tiles.panels, dot(rows.row(r), rows.row(r), D_) / 2, exponents + r},
          tiles.row(r, 0));
    }
    copy_columns(tiles, shape, count, m_, to);
  }

  // d_x [rows, D] of x, from its features and their gradients, both but for one power of 2.
  void gradient(const ScanCall<T>& plan, const View<const T, 2>& x, R sign, const R* features,
                const R* d_features, R* d_x, R* scratch) const {
    const simd::TileShape& shape = plan.tile_shape;
    const Index count = x.extent[0], padded = shape.rows_in_tiles(count);
    const auto rows = scaled_rows(plan, x, sign, scratch);
    R* const tiles_begin = tiles_in(plan, scratch);
    R* const d_logarithms = scratch + this->scratch(plan) - padded * m_;
    for (Index n = 0; n < count * m_; ++n) d_logarithms[n] = features[n] * d_features[n];
    std::fill_n(d_logarithms + count * m_, (padded - count) * m_, R(0));
    const auto tiles = multiply(plan, {d_logarithms, m_, shape}, plain_, D_, count, tiles_begin);
    copy_columns(tiles, shape, count, D_, d_x);
    for (Index r = 0; r < count; ++r) {
      R total = 0;
      for (Index n = 0; n < m_; ++n) total += d_logarithms[r * m_ + n];
      R* of_row = d_x + r * D_;
      for (Index d = 0; d < D_; ++d)
        of_row[d] = factor_ * sign * (of_row[d] - total * rows.row(r)[d]);
    }
  }

 private:
  simd::PackedA<R> scaled_rows(const ScanCall<T>& plan, const View<const T, 2>& x, R sign,
                               R* scratch) const {
    const simd::TileShape& shape = plan.tile_shape;
    const simd::PackedA<R> rows{scratch, D_, shape};
    plan.kernels.of_tensors.pack_a(x, factor_ * sign, rows);
    std::fill(rows.row(x.extent[0]), rows.tile(shape.m_tiles(x.extent[0])), R(0));
    return rows;
  }
  R* tiles_in(const ScanPlan& plan, R* scratch) const {
    return scratch + plan.tile_shape.rows_in_tiles(ScanPlan::chunk) * D_;
  }

  simd::ScoreTiles<R> multiply(const ScanCall<T>& plan, const simd::PackedA<const R>& a,
                               const std::vector<R>& b, Index columns, Index count, R* to) const {
    const simd::TileShape& shape = plan.tile_shape;
    const auto tiles = simd::ScoreTiles<R>::of(shape, to, coverage_.data(), count, columns);
    plan.kernels.of_sums.gemm.qk(a, {b.data(), a.k, shape.columns_in_panels(columns), shape},
                                 tiles);
    return tiles;
  }

  // Columns behind the last direction count for nothing.
  void hide_padding(const simd::ScoreTiles<R>& tiles) const {
    const Index last = tiles.panels - 1, real = m_ - last * tiles.shape.nr;
    for (Index row = 0; row < Index{tiles.m_tiles} * tiles.shape.mr; ++row) {
      std::fill(tiles.row(row, last) + real, tiles.row(row, last) + tiles.shape.nr,
                std::numeric_limits<R>::lowest());
    }
  }

  static void copy_columns(const simd::ScoreTiles<R>& tiles, const simd::TileShape& shape,
                           Index count, Index columns, R* to) {
    for (Index r = 0; r < count; ++r) {
      for (Index p = 0; p < tiles.panels; ++p) {
        const Index width = std::min<Index>(shape.nr, columns - p * shape.nr);
        to = std::copy_n(tiles.row(r, p), width, to);
      }
    }
  }

  Index m_, D_;
  R factor_, query_sign_;
  std::vector<R> transposed_;  // ω, PackedB [D, m]
  std::vector<R> plain_;       // ω, PackedB [m, D]
  std::vector<std::uint8_t> coverage_;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
