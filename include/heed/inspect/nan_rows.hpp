// Rows of somebody's weights or output that hold a NaN, sorted by the cause that the call shows.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "heed/attention/operands.hpp"
#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"
#include "heed/inspect/names.hpp"
#include "heed/inspect/suspect_head.hpp"
#include "heed/plot/summary.hpp"

namespace heed::inspect {
inline namespace HEED_ABI {

namespace suspect {

enum class NanCause { no_key, input, half_range, no_maximum, value_range, unknown };

inline constexpr std::array<const char*, 6> nan_causes{
    "see no key: a softmax of nothing is 0 / 0, or exp(-inf - -inf). Make their weights 0",
    "attend to a NaN or an infinity in q, k or v: look at what computed it",
    "have q k beyond 65504: scores kept in half become infinite, and inf - inf is NaN. Sum and "
    "normalise in float, or scale q first",
    "have scores above 88, where exp overflows float: subtract the row's maximum before exp",
    "attend to values beyond 65504, which half cannot hold: 0 * inf is NaN",
    "have finite scores and values: a 0 / 0 or an inf - inf of the code's own"};

// Why attention could make a NaN of row i, in the order of the causes.
template <class T, class M, class S>
NanCause nan_cause(const Head<T, M, S>& head, int i) {
  const Problem<T>& p = head.p;
  bool sees = false, finite = true;
  double product = 0, score = 0, value = 0;
  for (int j = 0; j < p.shape.Lk; ++j) {
    const double dot = head.product(ProductUse::rows, i, j);
    const double s = static_cast<double>(head.score.value(p.scale * dot, i, j));
    if (!head.mask.allows(i, j) || is_masked(s)) continue;
    sees = true;
    finite = finite && is_finite(dot) && is_finite(s);
    product = std::max(product, std::abs(dot)), score = std::max(score, s);
    for (Index d = 0; d < p.shape.Dv; ++d) {
      const double v = head.value(Hypothesis{.sentence = ""}, j, d);
      finite = finite && is_finite(v);
      value = std::max(value, std::abs(v));
    }
  }
  constexpr double largest_half = 65504, largest_exponent = 88.7;  // of exp in float
  if (!sees) return NanCause::no_key;
  if (!finite) return NanCause::input;
  if (product > largest_half) return NanCause::half_range;
  if (score > largest_exponent) return NanCause::no_maximum;
  return value > largest_half ? NanCause::value_range : NanCause::unknown;
}

template <class G>
bool has_nan(const View<const G, 4>& given, Index b, Index h, Index i) {
  for (Index j = 0; j < given.extent[3]; ++j) {
    if (is_nan(static_cast<double>(given(b, h, i, j)))) return true;
  }
  return false;
}

// "2 of 5 rows are NaN and see no key: ...", a sentence a cause; empty without a NaN.
//
//   given [B, Hq, Lq, any]
template <class G, class T, class M, class S>
std::vector<std::string> nan_rows(const View<const G, 4>& given, const Problem<T>& p, const M& mask,
                                  const S& score) {
  std::array<Index, nan_causes.size()> counts{};
  for (Index b = 0; b < p.shape.B; ++b) {
    for (Index h = 0; h < p.shape.Hq; ++h) {
      const auto head = head_of(p, b, h, mask, score);
      for (int i = 0; i < p.shape.Lq; ++i) {
        if (has_nan(given, b, h, i)) ++counts[static_cast<std::size_t>(nan_cause(head, i))];
      }
    }
  }
  std::vector<std::string> found;
  const Index rows = p.shape.B * p.shape.Hq * p.shape.Lq;
  for (std::size_t n = 0; n < counts.size(); ++n) {
    if (counts[n] == 0) continue;
    found.push_back(std::to_string(counts[n]) + " of " + std::to_string(rows) +
                    " rows hold a NaN and " + nan_causes[n]);
  }
  return found;
}

}  // namespace suspect
}  // namespace HEED_ABI
}  // namespace heed::inspect
