// The weights and the output of one head under a hypothesis, in double.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "heed/attention/operands.hpp"
#include "heed/core/abi.hpp"
#include "heed/inspect/hypothesis.hpp"

namespace heed::inspect {
inline namespace HEED_ABI {

namespace suspect {

// One head of a call; numbers are row by row [Lq, Lk].
template <class T, class M, class S>
struct Head {
  const Problem<T>& p;
  Index b, h;
  M mask;   // bound
  S score;  // bound
  // q·k for each ProductUse, computed when first asked for
  std::array<std::vector<double>, 4> products = {};

  Index rows() const { return p.shape.Lq; }
  Index columns() const { return p.shape.Lk; }
  std::size_t at(Index i, Index j) const { return static_cast<std::size_t>(i * columns() + j); }

  // Where heads split by a view find row l of head x: the [B, L, H, D] memory read as [B, H, L, D].
  static std::pair<Index, Index> by_view(Index x, Index l, Index heads, Index length) {
    const Index n = x * length + l;
    return {n % heads, n / heads};
  }

  double product(ProductUse use, Index i, Index j) const {
    const Shape& s = p.shape;
    const Index kv = h / s.group();
    const auto q_at =
        use == ProductUse::heads_by_view ? by_view(h, i, s.Hq, s.Lq) : std::pair{h, i};
    const auto k_at =
        use == ProductUse::heads_by_view ? by_view(kv, j, s.Hkv, s.Lk) : std::pair{kv, j};
    double dot = 0;
    for (Index d = 0; d < s.D; ++d) {
      const bool turned = use == ProductUse::k_transposed, other = use == ProductUse::exchanged;
      const auto x = other ? p.k(b, kv, i, d) : p.q(b, q_at.first, q_at.second, d);
      const auto y = other    ? p.q(b, h, j, d)
                     : turned ? p.k(b, kv, d, j)
                              : p.k(b, k_at.first, k_at.second, d);
      dot += static_cast<double>(x) * static_cast<double>(y);
    }
    return dot;
  }

  const std::vector<double>& all_products(ProductUse use) {
    auto& all = products[static_cast<std::size_t>(use)];
    if (!all.empty()) return all;
    for (Index i = 0; i < rows(); ++i) {
      for (Index j = 0; j < columns(); ++j) all.push_back(product(use, i, j));
    }
    return all;
  }

  double value(const Hypothesis& way, Index j, Index d) const {
    const Shape& s = p.shape;
    const Index kv = h / s.group();
    const bool by_views = way.product == ProductUse::heads_by_view;
    const auto from = by_views ? by_view(kv, j, s.Hkv, s.Lk) : std::pair{kv, j};
    return way.value == ValueUse::keys ? static_cast<double>(p.k(b, from.first, from.second, d))
                                       : static_cast<double>(p.v(b, from.first, from.second, d));
  }
};

template <class T, class M, class S>
auto head_of(const Problem<T>& p, Index b, Index h, const M& mask, const S& score) {
  const auto bound_mask = mask::bind(mask, p.shape, b, h);
  const auto bound_score = score::bind(score, p.shape, b, h);
  return Head<T, std::decay_t<decltype(bound_mask)>, std::decay_t<decltype(bound_score)>>{
      p, b, h, bound_mask, bound_score};
}

// The scores that reach the softmax under a hypothesis.
struct Logits {
  std::vector<double> values;
  std::vector<bool> seen;     // by the right mask
  std::vector<bool> allowed;  // by the mask as it is used
};

inline bool used(MaskUse use, const std::vector<bool>& seen, Index i, Index j, Index columns) {
  const auto at = [&](Index row, Index column) {
    return seen[static_cast<std::size_t>(row * columns + column)];
  };
  switch (use) {
    case MaskUse::hide:
      return at(i, j);
    case MaskUse::invert:
      return !at(i, j);
    case MaskUse::transpose:
      return at(j, i);
    case MaskUse::one_key_less:
      return j + 1 < columns && at(i, j + 1) && at(i, j);
    case MaskUse::one_key_more:
      return at(i, j) || (j > 0 && at(i, j - 1));
    case MaskUse::ignore:
    case MaskUse::zero_score:
    case MaskUse::after_softmax:
    case MaskUse::add:
      return true;
  }
  return true;
}

template <class T, class M, class S>
Logits logits_of(Head<T, M, S>& head, const Hypothesis& way) {
  const double scale = head.p.scale;
  const double factor = way.scaled_again     ? scale * scale
                        : way.scale_inverted ? 1 / scale
                        : way.scaled         ? scale
                                             : 1;
  const auto& products = head.all_products(way.product);
  Logits logits;
  for (int i = 0; i < head.rows(); ++i) {
    for (int j = 0; j < head.columns(); ++j) {
      const double s = factor * products[head.at(i, j)];
      const double modified = way.modified ? static_cast<double>(head.score.value(s, i, j)) : s;
      const bool seen = head.mask.allows(i, j) && !is_masked(modified);
      logits.seen.push_back(seen);
      logits.values.push_back(way.mask == MaskUse::zero_score && !seen ? 0
                              : way.mask == MaskUse::add && seen       ? modified + 1
                                                                       : modified);
    }
  }
  for (Index i = 0; i < head.rows(); ++i) {
    for (Index j = 0; j < head.columns(); ++j) {
      logits.allowed.push_back(used(way.mask, logits.seen, i, j, head.columns()));
    }
  }
  return logits;
}

// Softmax along `count` entries that begin at `first` and lie `step` apart, and a sink.
inline void softmax(const std::vector<double>& from, const std::vector<bool>& allowed,
                    std::size_t first, std::size_t step, std::size_t count, double sink,
                    std::vector<double>& weights) {
  double largest = is_masked(sink) ? std::numeric_limits<double>::lowest() : sink;
  const auto each = [&](auto&& visit) {
    for (std::size_t at = first, n = 0; n < count; ++n, at += step) {
      if (allowed[at]) visit(at);
    }
  };
  each([&](std::size_t at) { largest = std::max(largest, from[at]); });
  double sum = sink_weight(sink, largest);
  each([&](std::size_t at) { sum += weights[at] = std::exp(from[at] - largest); });
  each([&](std::size_t at) { weights[at] /= sum; });
}

inline std::vector<double> softmax_of(const std::vector<double>& from, const Logits& logits,
                                      const Hypothesis& way, std::size_t rows, std::size_t columns,
                                      double sink) {
  std::vector<double> weights(from.size());
  if (way.over_keys) {
    for (std::size_t i = 0; i < rows; ++i)
      softmax(from, logits.allowed, i * columns, 1, columns, sink, weights);
  } else {
    for (std::size_t j = 0; j < columns; ++j)
      softmax(from, logits.allowed, j, columns, rows, sink, weights);
  }
  return weights;
}

// The head's weights [Lq, Lk] under a hypothesis.
template <class T, class M, class S>
std::vector<double> weights_of(Head<T, M, S>& head, const Hypothesis& way) {
  const Logits logits = logits_of(head, way);
  const auto rows = static_cast<std::size_t>(head.rows());
  const auto columns = static_cast<std::size_t>(head.columns());
  const auto sink = sink_of<double>(head.p, head.h);
  std::vector<double> weights = softmax_of(logits.values, logits, way, rows, columns, sink);
  if (way.softmax_again) weights = softmax_of(weights, logits, way, rows, columns, sink);
  for (std::size_t n = 0; way.mask == MaskUse::after_softmax && n < weights.size(); ++n) {
    if (!logits.seen[n]) weights[n] = 0;
  }
  return weights;
}

// The head's output [Lq, Dv] under a hypothesis.
template <class T, class M, class S>
std::vector<double> output_of(Head<T, M, S>& head, const Hypothesis& way) {
  const std::vector<double> weights = weights_of(head, way);
  std::vector<double> out;
  for (Index i = 0; i < head.rows(); ++i) {
    for (Index d = 0; d < head.p.shape.Dv; ++d) {
      double sum = 0;
      for (Index j = 0; j < head.columns(); ++j) {
        const double w = weights[way.value == ValueUse::transposed ? head.at(j, i) : head.at(i, j)];
        if (w != 0) sum += w * head.value(way, j, d);
      }
      out.push_back(sum);
    }
  }
  return out;
}

}  // namespace suspect
}  // namespace HEED_ABI
}  // namespace heed::inspect
