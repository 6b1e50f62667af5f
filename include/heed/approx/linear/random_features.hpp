// Positive random features, e^(x·y) = E[φ(x)·φ(y)]: what Performers put in place of the softmax.
// Choromanski et al., "Rethinking Attention with Performers" (2021), Lemma 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "heed/approx/linear/scan_plan.hpp"
#include "heed/approx/orthogonal.hpp"
#include "heed/core/zeros.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// A panel of keys: logarithms [m, panel] become features in (0, 1], the largest of each key above
// 1/2, and the whole exponent of 2 that its features are to be multiplied by.
template <class R>
struct KeyFeatures {
  const R* keys;  // [D, panel]
  Index D;
  R half;        // times the squares of a key: log2 of e^(|x|²/2)
  R common;      // what all logarithms are too large by besides
  R* exponents;  // [panel], written

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* logarithms, const Index& m) const {
    constexpr R huge = std::numeric_limits<R>::max() / 4;
    simd::Array<R, Panel> top, shift;
    for (int c = 0; c < Panel; ++c) shift[c] = 0;
    for (Index d = 0; d < D; ++d) {
      for (int c = 0; c < Panel; ++c) shift[c] += keys[d * Panel + c] * keys[d * Panel + c];
    }
    for (int c = 0; c < Panel; ++c) top[c] = std::numeric_limits<R>::lowest();
    for (Index n = 0; n < m; ++n) {
      for (int c = 0; c < Panel; ++c) {
        const R x = logarithms[n * Panel + c];
        top[c] = select(x > top[c], x, top[c]);
      }
    }
    for (int c = 0; c < Panel; ++c) {
      const R norm = shift[c] * half + common;
      shift[c] = select(norm < huge, norm, huge);  // the features of so long a key are 0
      exponents[c] = std::ceil(top[c] - shift[c]);
      shift[c] += exponents[c];
    }
    for (Index n = 0; n < m; ++n, logarithms += Panel) {
      for (int c = 0; c < Panel; ++c) {
        constexpr R lowest = Exp2<R>::lowest + 1;
        const R x = logarithms[c] - shift[c];
        R power = select(x < R(0), x, R(0));
        power = select(power > lowest, power, lowest);
        logarithms[c] = select(std::isnan(x), x, exp2_of_negative(power));
      }
    }
  }
};

// φ_n(x) = e^(ω_n·x − |x|²/2) / √m, n in [0, m), for x = √scale · q or k. A row's features are
// divided by the largest of them, or a power of 2 near it, and lie in [0, 1]; that is the row's
// exponent, so nothing overflows, and a feature that underflows is negligible beside it.
template <class T>
class RandomFeatures {
 public:
  using R = Accum<T>;
  static constexpr bool weighted = true;

  RandomFeatures(Index m, Index D, double scale, std::uint64_t seed)
      : m_(m),
        D_(D),
        factor_(static_cast<R>(std::sqrt(std::abs(scale)))),
        query_sign_(scale < 0 ? R(-1) : R(1)),
        log2_root_m_(static_cast<R>(std::log2(static_cast<double>(m)) / 2)) {
    const simd::PackedKernels<R>& kernels = simd::element_kernels<R>(isa());
    const simd::TileShape& tile_shape = kernels.tile_shape;
    rows_ = zeros<R>(simd::PackedA<R>::size(tile_shape, tile_shape.rows_in_tiles(m), D));
    const std::vector<double> directions = orthogonal_gaussians(m, D, seed);
    std::transform(directions.begin(), directions.end(), rows_.begin(),
                   [](double x) { return static_cast<R>(x); });
    const Index columns = tile_shape.columns_in_panels(m);
    panels_ = zeros<R>(simd::PackedB<R>::size(tile_shape, D, columns));
    kernels.pack_b_transposed({rows_.data(), {m, D}, {D, 1}},
                              {panels_.data(), D, columns, tile_shape});
    const double factor = std::sqrt(std::abs(scale)) * std::numbers::log2e;
    std::transform(directions.begin(), directions.end(), rows_.begin(),
                   [&](double x) { return static_cast<R>(x * factor); });
    coverage_.assign(
        static_cast<std::size_t>(std::max(
            tile_shape.m_tiles(ScanPlan::chunk) * tile_shape.panels(m), tile_shape.m_tiles(m))),
        1);
  }

  // Numbers of scratch that a chunk of rows needs.
  Index scratch(const ScanPlan& plan) const {
    const Index rows = plan.tile_shape.rows_in_tiles(ScanPlan::chunk);
    return checked_product(rows, D_ + 2);
  }

  // panel [padded m, panel], the features of at most a panel of keys, and their exponents, base 2.
  void keys(const ScanCall<T>& plan, const View<const T, 2>& x, R* panel, R* exponents,
            R* scratch) const {
    const simd::TileShape& shape = plan.tile_shape;
    const simd::PackedB<R> packed{scratch, D_, shape.nr, shape};
    plan.kernels.of_tensors.pack_b_transposed(x, packed);
    const simd::PackedA<const R> directions{rows_.data(), D_, shape};
    plan.kernels.of_sums.gemm.qk(
        directions, packed, simd::ScoreTiles<R>::of(shape, panel, coverage_.data(), m_, shape.nr));
    const KeyFeatures<R> features{scratch, D_, factor_ * factor_ * log2_e / 2, log2_root_m_,
                                  exponents};
    plan.template compiled<KeyFeatures<R>, R*, Index>()(features, panel, m_);
  }

  // ScoreTiles [rows, m], the features of at most a chunk of queries, and their exponents.
  void queries(const ScanCall<T>& plan, const View<const T, 2>& x, R* tiles, R* exponents,
               R* scratch) const {
    const simd::TileShape& shape = plan.tile_shape;
    const Index count = x.extent[0], rows = shape.rows_in_tiles(count);
    const simd::PackedA<R> q{scratch, D_, shape};
    plan.kernels.of_tensors.pack_a(x, factor_ * query_sign_, q);
    std::fill(q.row(count), q.row(rows), R(0));
    const simd::RowState<R> state{q.row(rows), q.row(rows) + rows, {nullptr, 0, shape}};
    std::fill_n(state.max, rows, std::numeric_limits<R>::lowest());
    std::fill_n(state.sum, rows, R(0));
    const simd::PackedB<const R> directions{panels_.data(), D_, shape.columns_in_panels(m_), shape};
    const auto scores = simd::ScoreTiles<R>::of(shape, tiles, coverage_.data(), count, m_);
    plan.kernels.of_sums.gemm.qk(q, directions, scores);
    hide_padding(scores);
    plan.kernels.of_sums.softmax(scores, state);  // features e^(ω·x − max), and the maxima
    for (Index r = 0; r < count; ++r) {
      exponents[r] = (state.max[r] - dot(q.row(r), q.row(r), D_) / 2) * log2_e - log2_root_m_;
    }
  }

 private:
  static constexpr R log2_e = std::numbers::log2e_v<R>;

  // Columns behind the last direction count for nothing.
  void hide_padding(const simd::ScoreTiles<R>& scores) const {
    const Index last = scores.panels - 1, real = m_ - last * scores.shape.nr;
    if (real == scores.shape.nr) return;
    for (Index row = 0; row < Index{scores.m_tiles} * scores.shape.mr; ++row) {
      R* part = scores.row(row, last);
      std::fill(part + real, part + scores.shape.nr, mask_if(true, R(0)));
    }
  }

  Index m_, D_;
  R factor_, query_sign_, log2_root_m_;
  std::vector<R> panels_;  // ω, [panels of m, D, panel]
  std::vector<R> rows_;    // ω, [padded m, D], times √|scale|·log2 e
  std::vector<std::uint8_t> coverage_;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
