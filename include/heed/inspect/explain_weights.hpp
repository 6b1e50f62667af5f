// Whose mistake is it? Weights that some other code computed are compared with what the usual
// mistakes would give on the same inputs, so that the answer is a name and not a difference.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "heed/attention/operands.hpp"
#include "heed/core/abi.hpp"
#include "heed/inspect/summary.hpp"

namespace heed::inspect {

// What somebody may have done with the mask.
enum class MaskUse { hide, ignore, invert, transpose, zero_score, after_softmax };

// One way to compute weights: the right one, or the right one with one mistake.
struct Hypothesis {
  const char* sentence;
  MaskUse mask = MaskUse::hide;
  bool scaled = true;         // by the call's scale; else by 1
  bool scaled_again = false;  // by the scale twice
  bool modified = true;       // by the score modifiers
  bool over_keys = true;      // the softmax; else over queries
};

inline namespace HEED_ABI {

namespace suspect {

inline constexpr std::array<Hypothesis, 9> mistakes{{
    {.sentence = "The scores are not scaled: multiply q k by 1/sqrt(D) before the softmax",
     .scaled = false},
    {.sentence = "The scores are scaled twice", .scaled_again = true},
    {.sentence = "The softmax runs over the queries: normalise each row, over the keys (the last "
                 "dimension)",
     .over_keys = false},
    {.sentence = "The mask is inverted: true must mean attend", .mask = MaskUse::invert},
    {.sentence = "The mask is not applied", .mask = MaskUse::ignore},
    {.sentence = "The mask is transposed: rows are queries, columns are keys",
     .mask = MaskUse::transpose},
    {.sentence =
         "Masked scores are set to 0: exp(0) is 1, so they still get weight; set them to -inf",
     .mask = MaskUse::zero_score},
    {.sentence = "The mask is applied after the softmax: rows no longer sum to 1; mask the scores",
     .mask = MaskUse::after_softmax},
    {.sentence = "The score modifiers are left out", .modified = false},
}};

// The logits and the mask of one head, row by row [Lq, Lk].
struct Head {
  Index rows = 0, columns = 0;
  std::vector<double> logits = {};
  std::vector<bool> seen = {};

  std::size_t at(Index i, Index j) const { return static_cast<std::size_t>(i * columns + j); }

  bool allows(MaskUse use, Index i, Index j) const {
    switch (use) {
      case MaskUse::hide:
        return seen[at(i, j)];
      case MaskUse::invert:
        return !seen[at(i, j)];
      case MaskUse::transpose:
        return seen[rows == columns ? at(j, i) : at(i, j)];
      case MaskUse::ignore:
      case MaskUse::zero_score:
      case MaskUse::after_softmax:
        return true;
    }
    return true;
  }
};

template <class T, class M, class S>
Head head_of(const Problem<T>& p, Index b, Index h, const M& mask, const S& score,
             const Hypothesis& way) {
  const Index kv_head = h / p.shape.group();
  const double scale = way.scaled_again ? p.scale * p.scale : way.scaled ? p.scale : 1;
  Head head{.rows = p.shape.Lq, .columns = p.shape.Lk};
  for (int i = 0; i < p.shape.Lq; ++i) {
    for (int j = 0; j < p.shape.Lk; ++j) {
      double dot = 0;
      for (Index d = 0; d < p.shape.D; ++d) {
        dot += static_cast<double>(p.q(b, h, i, d)) * static_cast<double>(p.k(b, kv_head, j, d));
      }
      const double s = scale * dot;
      const double modified = way.modified ? static_cast<double>(score.value(s, i, j)) : s;
      head.seen.push_back(mask.allows(i, j) && !is_masked(modified));
      head.logits.push_back(way.mask == MaskUse::zero_score && !head.seen.back() ? 0 : modified);
    }
  }
  return head;
}

// Softmax along `count` entries that begin at `first` and lie `step` apart.
inline void softmax(const Head& head, MaskUse use, std::size_t first, std::size_t step,
                    std::size_t count, std::vector<double>& weights) {
  const auto each = [&](auto&& visit) {
    for (std::size_t n = 0; n < count; ++n) {
      const std::size_t at = first + n * step;
      const auto i = static_cast<Index>(at) / head.columns,
                 j = static_cast<Index>(at) % head.columns;
      if (head.allows(use, i, j)) visit(at);
    }
  };
  double largest = std::numeric_limits<double>::lowest(), sum = 0;
  each([&](std::size_t at) { largest = std::max(largest, head.logits[at]); });
  each([&](std::size_t at) { sum += weights[at] = std::exp(head.logits[at] - largest); });
  each([&](std::size_t at) {
    weights[at] = use == MaskUse::after_softmax && !head.seen[at] ? 0 : weights[at] / sum;
  });
}

inline std::vector<double> weights_of(const Head& head, const Hypothesis& way) {
  std::vector<double> weights(head.logits.size());
  const auto rows = static_cast<std::size_t>(head.rows);
  const auto columns = static_cast<std::size_t>(head.columns);
  if (way.over_keys) {
    for (std::size_t i = 0; i < rows; ++i)
      softmax(head, way.mask, i * columns, 1, columns, weights);
  } else {
    for (std::size_t j = 0; j < columns; ++j) softmax(head, way.mask, j, columns, rows, weights);
  }
  return weights;
}

// The largest difference between `given` and what `way` computes; NaN counts as infinitely far.
template <class T, class W, class M, class S>
double distance(const Problem<T>& p, const View<const W, 4>& given, const M& mask, const S& score,
                const Hypothesis& way) {
  double largest = 0;
  for (Index b = 0; b < p.shape.B; ++b) {
    for (Index h = 0; h < p.shape.Hq; ++h) {
      const Head head =
          head_of(p, b, h, mask::bind(mask, p.shape, b, h), score::bind(score, p.shape, b, h), way);
      const auto weights = weights_of(head, way);
      for (Index i = 0; i < head.rows; ++i) {
        for (Index j = 0; j < head.columns; ++j) {
          const double d = static_cast<double>(given(b, h, i, j)) - weights[head.at(i, j)];
          largest =
              is_finite(d) ? std::max(largest, std::abs(d)) : std::numeric_limits<double>::max();
        }
      }
    }
  }
  return largest;
}

}  // namespace suspect

// Why `weights` are not the weights of attention(q, k, v, mask, score, options): the mistakes that
// reproduce them within `tolerance`, or how far off they are. Empty where they are right.
//
//   weights [B, Hq, Lq, Lk]   computed elsewhere; before dropout
//
// Throws heed::Error as attention does, and where weights has another shape. O(Lq·Lk·D), ten times.
template <class W, class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S> std::vector<std::string> explain_weights(
    const W& weights, const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
    const Options& options = {}, double tolerance = 1e-3) {
  constexpr const char* call = "heed::inspect::explain_weights";
  const Shape shape = check_call(call, q, k, v, as_mask(mask), as_score(score), options);
  const auto given = lift(view_of(weights));
  const View<const ScalarOf<Q>, 4> wanted{nullptr, {shape.B, shape.Hq, shape.Lq, shape.Lk}, {}};
  if (to_string(given) != to_string(wanted)) {
    throw Error(std::string(call) + ": weights are " + to_string(given) + " but the call's are " +
                to_string(wanted));
  }
  const auto problem = make_problem(q, k, v, shape, options);
  const auto off = [&](const Hypothesis& way) {
    return suspect::distance(problem, given, as_mask(mask), as_score(score), way);
  };
  std::vector<std::string> found;
  const double difference = off(Hypothesis{.sentence = "right"});
  if (difference <= tolerance) return found;
  for (const Hypothesis& mistake : suspect::mistakes) {
    if (off(mistake) <= tolerance) found.emplace_back(mistake.sentence);
  }
  if (found.empty()) {
    found.push_back("The weights are off by up to " + short_number(difference) +
                    ", and no single usual mistake explains it");
  }
  return found;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
