// Whose mistake is it? Weights that some other code computed are compared with what the usual
// mistakes would give on the same inputs, so that the answer is a name and not a difference.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "heed/attention/operands.hpp"
#include "heed/core/abi.hpp"
#include "heed/inspect/nan_rows.hpp"
#include "heed/inspect/suspect_head.hpp"

namespace heed::inspect {
inline namespace HEED_ABI {

namespace suspect {

// The largest difference between a head's given rows and those of a hypothesis. Rows with a NaN
// have a finding of their own and are left out; a hypothesis that is not finite is far away.
template <class G>
double distance(const View<const G, 4>& given, Index b, Index h, const std::vector<double>& rows) {
  double largest = 0;
  for (Index i = 0; i < given.extent[2]; ++i) {
    if (has_nan(given, b, h, i)) continue;
    for (Index j = 0; j < given.extent[3]; ++j) {
      const auto n = static_cast<std::size_t>(i * given.extent[3] + j);
      const double off = std::abs(static_cast<double>(given(b, h, i, j)) - rows[n]);
      largest = std::max(largest, is_finite(off) ? off : std::numeric_limits<double>::max());
    }
  }
  return largest;
}

// Measures every trial over all heads; one that is too far off is not computed further, except the
// first, whose distance is told. `rows_of` gives a head's numbers under a hypothesis.
template <class G, class T, class M, class S, class RowsOf>
void measure(std::vector<Trial>& trials, const View<const G, 4>& given, const Problem<T>& p,
             const M& mask, const S& score, double tolerance, const RowsOf& rows_of) {
  for (Index b = 0; b < p.shape.B; ++b) {
    for (Index h = 0; h < p.shape.Hq; ++h) {
      auto head = head_of(p, b, h, mask, score);
      for (std::size_t n = 0; n < trials.size(); ++n) {
        if (n > 0 && trials[n].off > tolerance) continue;
        trials[n].off =
            std::max(trials[n].off, distance(given, b, h, rows_of(head, trials[n].way)));
      }
    }
  }
}

// The texts of the trials within `tolerance`.
inline std::vector<std::string> matches(const std::vector<Trial>& trials, double tolerance) {
  std::vector<std::string> found;
  for (const Trial& trial : trials) {
    if (trial.off <= tolerance) found.push_back(trial.text);
  }
  return found;
}

// The explanation of `given`: nothing where it is right, one mistake, two, or the size of the
// riddle.
template <class G, class T, class M, class S, class RowsOf>
std::vector<std::string> explain(const char* what, const View<const G, 4>& given,
                                 const Problem<T>& p, const M& mask, const S& score,
                                 double tolerance, const RowsOf& rows_of, bool of_output) {
  std::vector<std::string> found = nan_rows(given, p, mask, score);
  std::vector<Trial> right{{Hypothesis{.sentence = "right"}, "right"}};
  measure(right, given, p, mask, score, tolerance, rows_of);
  if (right[0].off <= tolerance) return found;
  std::vector<Trial> trials = single_trials(p.shape, of_output);
  measure(trials, given, p, mask, score, tolerance, rows_of);
  std::vector<std::string> named = matches(trials, tolerance);
  if (named.empty()) {
    trials = double_trials(trials);
    measure(trials, given, p, mask, score, tolerance, rows_of);
    named = matches(trials, tolerance);
    for (std::string& text : named) text.insert(0, "Two mistakes together. ");
  }
  if (named.empty()) {
    const bool infinite = right[0].off == std::numeric_limits<double>::max();
    named.push_back("The " + std::string(what) + " are off by " +
                    (infinite ? "an infinity" : "up to " + short_number(right[0].off)) +
                    ", and neither one usual mistake nor two explain it");
  }
  found.insert(found.end(), named.begin(), named.end());
  return found;
}

// Weights that are 0 or the right ones times one factor above 1: dropout. Empty where they are not.
template <class G, class T, class M, class S>
std::string dropout_finding(const View<const G, 4>& given, const Problem<T>& p, const M& mask,
                            const S& score, double tolerance) {
  double factor = 0;
  Index dropped = 0, kept = 0;
  bool same = true;
  const auto look = [&](double weight, double right) {
    if (right <= 2 * tolerance || !same) return;
    if (weight == 0) return void(++dropped);
    if (kept++ == 0) factor = weight / right;
    same = std::abs(weight - factor * right) <= tolerance;
  };
  for (Index b = 0; b < p.shape.B; ++b) {
    for (Index h = 0; h < p.shape.Hq; ++h) {
      auto head = head_of(p, b, h, mask, score);
      const auto right = weights_of(head, Hypothesis{.sentence = "right"});
      for (Index i = 0; i < p.shape.Lq; ++i) {
        for (Index j = 0; j < p.shape.Lk; ++j) {
          look(static_cast<double>(given(b, h, i, j)), right[head.at(i, j)]);
        }
      }
    }
  }
  if (!same || dropped == 0 || kept == 0 || factor <= 1 + tolerance) return "";
  return "Dropout is on: " + std::to_string(dropped) + " of " + std::to_string(dropped + kept) +
         " weights are 0 and the others " + short_number(factor) +
         " times too large. Switch it off for evaluation, or compare the weights before it";
}

}  // namespace suspect

// Why `weights` are not the weights of attention(q, k, v, mask, score, options): the mistakes that
// reproduce them within `tolerance`, one or two together, or how far off they are; and the cause of
// each row with a NaN. Empty where they are right.
//
//   weights [B, Hq, Lq, Lk]   computed elsewhere; before dropout
//
// Throws heed::Error as attention does, and where weights has another shape. O(Lq·Lk·D); where no
// single mistake explains them, 130 times O(Lq·Lk).
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
  const std::string dropout =
      suspect::dropout_finding(given, problem, as_mask(mask), as_score(score), tolerance);
  if (!dropout.empty()) return {dropout};
  const auto rows_of = [](auto& head, const Hypothesis& way) {
    return suspect::weights_of(head, way);
  };
  return suspect::explain("weights", given, problem, as_mask(mask), as_score(score), tolerance,
                          rows_of, false);
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
