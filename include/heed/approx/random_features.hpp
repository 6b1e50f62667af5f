// Positive random features, e^(x·y) = E[φ(x)·φ(y)]: what Performers put in place of the softmax.
// Choromanski et al., "Rethinking Attention with Performers" (2021), Lemma 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "heed/approx/gaussian.hpp"
#include "heed/approx/prefix_plan.hpp"
#include "heed/attention/flash_task.hpp"

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
      shift[c] = select(norm < huge, norm, huge);  // a key that long is as good as none
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
// exponent, so nothing overflows, and what would underflow is as good as 0 beside it.
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
    const simd::Geometry& cell = kernels().geometry;
    rows_ = zeros<R>(checked_product(cell.groups(m) * cell.rows, D));
    const std::vector<double> directions = orthogonal_gaussians(m, D, seed);
    std::transform(directions.begin(), directions.end(), rows_.begin(),
                   [](double x) { return static_cast<R>(x); });
    panels_ = zeros<R>(checked_product(cell.panels(m) * cell.panel, D));
    kernels().pack_keys({rows_.data(), {m, D}, {D, 1}}, static_cast<int>(m), panels_.data());
    const double factor = std::sqrt(std::abs(scale)) * std::numbers::log2e;
    std::transform(directions.begin(), directions.end(), rows_.begin(),
                   [&](double x) { return static_cast<R>(x * factor); });
    live_.assign(static_cast<std::size_t>(
                     std::max(cell.groups(PrefixPlan::chunk) * cell.panels(m), cell.groups(m))),
                 1);
  }

  // Numbers of scratch that a chunk of rows needs.
  Index scratch(const PrefixPlan& plan) const {
    const Index rows = plan.cell.groups(PrefixPlan::chunk) * plan.cell.rows;
    return checked_product(rows, D_ + 2);
  }

  // panel [padded m, panel], the features of at most a panel of keys, and their exponents, base 2.
  void keys(const PrefixPlan& plan, const View<const T, 2>& x, R* panel, R* exponents,
            R* scratch) const {
    simd::kernels<T>(isa()).pack_keys(x, static_cast<int>(x.extent[0]), scratch);
    simd::Strip<R> strip = this->strip(m_);
    strip.groups = static_cast<int>(plan.cell.groups(m_));
    strip.panels = 1;
    strip.keys = plan.cell.panel;
    strip.q = rows_.data();
    strip.kt = scratch;
    strip.scores = panel;
    kernels().dots(strip);
    const KeyFeatures<R> features{scratch, D_, factor_ * factor_ * log2_e / 2, log2_root_m_,
                                  exponents};
    simd::rewriter<R, KeyFeatures<R>, Index>(isa())(features, panel, m_);
  }

  // cells [groups, panels of m, rows, panel], the features of at most a chunk of queries, and their
  // exponents.
  void queries(const PrefixPlan& plan, const View<const T, 2>& x, R* cells, R* exponents,
               R* scratch) const {
    const Index count = x.extent[0];
    simd::Strip<R> strip = this->strip(count);
    strip.groups = static_cast<int>(plan.cell.groups(count));
    strip.panels = static_cast<int>(plan.cell.panels(m_));
    strip.keys = strip.panels * plan.cell.panel;
    const Index rows = Index{strip.groups} * plan.cell.rows;
    strip.q = scratch;
    strip.kt = panels_.data();
    strip.scores = cells;
    strip.max = scratch + rows * D_;
    strip.sum = strip.max + rows;
    simd::kernels<T>(isa()).load_rows(x, static_cast<int>(count), factor_ * query_sign_, scratch);
    std::fill(scratch + count * D_, scratch + rows * D_, R(0));
    std::fill_n(strip.max, rows, std::numeric_limits<R>::lowest());
    std::fill_n(strip.sum, rows, R(0));
    kernels().dots(strip);
    hide_padding(strip, plan.cell);
    kernels().softmax(strip);  // features e^(ω·x − max), and the maxima
    for (Index r = 0; r < count; ++r) {
      const R* row = scratch + r * D_;
      exponents[r] = (strip.max[r] - dot(row, row, D_) / 2) * log2_e - log2_root_m_;
    }
  }

 private:
  static constexpr R log2_e = std::numbers::log2e_v<R>;

  static const simd::Kernels<R>& kernels() { return simd::kernels<R>(isa()); }

  simd::Strip<R> strip(Index rows) const {
    simd::Strip<R> strip;
    strip.queries = static_cast<int>(rows);
    strip.D = D_;
    strip.live = live_.data();
    return strip;
  }

  // Columns behind the last direction count for nothing.
  void hide_padding(const simd::Strip<R>& strip, const simd::Geometry& cell) const {
    const Index real = m_ - Index{strip.panels - 1} * cell.panel;
    if (real == cell.panel) return;
    for (Index row = 0; row < Index{strip.groups} * cell.rows; ++row) {
      const Index at = (row / cell.rows + 1) * strip.panels - 1;
      R* last = strip.scores + (at * cell.rows + row % cell.rows) * cell.panel;
      std::fill(last + real, last + cell.panel, mask_if(true, R(0)));
    }
  }

  Index m_, D_;
  R factor_, query_sign_, log2_root_m_;
  std::vector<R> panels_;  // ω, [panels of m, D, panel]
  std::vector<R> rows_;    // ω, [padded m, D], times √|scale|·log2 e
  std::vector<std::uint8_t> live_;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
