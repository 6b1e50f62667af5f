// Positive random features, e^(x·y) = E[φ(x)·φ(y)]: what Performers put in place of the softmax.
// Choromanski et al., "Rethinking Attention with Performers" (2021), Lemma 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "heed/approx/gaussian.hpp"
#include "heed/approx/prefix_plan.hpp"
#include "heed/attention/flash_task.hpp"
#include "heed/softmax/online.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// φ_n(x) = e^(ω_n·x − |x|²/2) / √m, n in [0, m), for x = √scale · q or k. A row's features are
// divided by the largest of them and lie in [0, 1]; that one's power of 2 is the row's exponent, so
// nothing overflows, and what would underflow is as good as 0 beside it.
template <class T>
class RandomFeatures {
 public:
  using R = Accum<T>;
  static constexpr bool weighted = true;

  RandomFeatures(Index m, Index D, double scale, std::uint64_t seed)
      : m_(m),
        D_(D),
        factor_(static_cast<R>(std::sqrt(std::abs(scale)))),
        query_sign_(scale < 0 ? R(-1) : R(1)) {
    const simd::Kernels<R>& kernels = this->kernels();
    std::vector<R> rows(static_cast<std::size_t>(m * D));
    const std::vector<double> directions = orthogonal_gaussians(m, D, seed);
    std::transform(directions.begin(), directions.end(), rows.begin(),
                   [](double x) { return static_cast<R>(x * softmax::log2_e<double>); });
    const Index panels = kernels.geometry.panels(m);
    directions_.resize(static_cast<std::size_t>(panels * kernels.geometry.panel * D));
    kernels.pack_keys({rows.data(), {m, D}, {D, 1}}, static_cast<int>(m), directions_.data());
    live_.assign(static_cast<std::size_t>(kernels.geometry.groups(PrefixPlan::chunk) * panels), 1);
  }

  // Numbers of scratch that a chunk of rows needs.
  Index scratch(const PrefixPlan& plan) const {
    const Index rows = plan.cell.groups(PrefixPlan::chunk) * plan.cell.rows;
    return checked_product(rows, D_ + plan.cell.panels(m_) * plan.cell.panel + 2);
  }

  // rows [x.extent[0], m] and their exponents, base 2.
  void operator()(const PrefixPlan& plan, const View<const T, 2>& x, R* rows, R* exponents,
                  R* scratch, bool keys) const {
    const Index count = x.extent[0], group = plan.cell.rows, panel = plan.cell.panel;
    simd::Strip<R> strip;
    strip.queries = static_cast<int>(count);
    strip.groups = static_cast<int>(plan.cell.groups(count));
    strip.panels = static_cast<int>(plan.cell.panels(m_));
    strip.D = D_;
    strip.q = scratch;
    strip.kt = directions_.data();
    strip.live = live_.data();
    strip.scores = scratch + Index{strip.groups} * group * D_;
    strip.max = strip.scores + Index{strip.groups} * strip.panels * group * panel;
    strip.sum = strip.max + Index{strip.groups} * group;
    simd::kernels<T>(isa()).load_rows(x, static_cast<int>(count),
                                      keys ? factor_ : factor_ * query_sign_, scratch);
    std::fill(scratch + count * D_, scratch + Index{strip.groups} * group * D_, R(0));
    std::fill_n(strip.max, Index{strip.groups} * group, std::numeric_limits<R>::lowest());
    std::fill_n(strip.sum, Index{strip.groups} * group, R(0));
    kernels().dots(strip);
    hide_padding(strip, group, panel);
    kernels().softmax(strip);  // features 2^(ω·x − max), and the maxima
    for (Index r = 0; r < count; ++r) {
      exponents[r] = strip.max[r] - half_norm(scratch + r * D_);
      for (Index p = 0; p < strip.panels; ++p) {
        const R* from = strip.scores + ((r / group * strip.panels + p) * group + r % group) * panel;
        std::copy_n(from, std::min(panel, m_ - p * panel), rows + r * m_ + p * panel);
      }
    }
  }

 private:
  static const simd::Kernels<R>& kernels() { return simd::kernels<R>(isa()); }

  // Columns behind the last direction count for nothing.
  void hide_padding(const simd::Strip<R>& strip, Index group, Index panel) const {
    const Index real = m_ - (strip.panels - 1) * panel;
    for (Index row = 0; row < strip.groups * group; ++row) {
      const Index at = (row / group + 1) * strip.panels - 1;
      R* last = strip.scores + (at * group + row % group) * panel;
      std::fill(last + real, last + panel, mask_if(true, R(0)));
    }
  }

  // (|x|² / 2 + ln(m) / 2) log2 e.
  R half_norm(const R* x) const {
    R sum = 0;
    for (Index d = 0; d < D_; ++d) sum += x[d] * x[d];
    return (sum + std::log(static_cast<R>(m_))) * (softmax::log2_e<R> / 2);
  }

  Index m_, D_;
  R factor_, query_sign_;
  std::vector<R> directions_;  // [panels of m, D, panel], times log2 e
  std::vector<std::uint8_t> live_;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
