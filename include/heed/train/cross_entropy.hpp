// The loss of a classifier: −log softmax(logits) at the target.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <span>  // concepts of ranges
#include <string>
#include <utility>
#include <vector>

#include "heed/core/check.hpp"
#include "heed/nn/embedding.hpp"
#include "heed/nn/options.hpp"
#include "heed/nn/tokens.hpp"
#include "heed/train/loss.hpp"

namespace heed::train {

struct CrossEntropyOptions {
  double label_smoothing = 0;   // this share of the target is spread evenly over all classes.
                                // Szegedy et al. (2016), section 7
  std::int64_t ignored = -100;  // targets that don't count, as torch's ignore_index
};

// A tensor of rank 1 of integers.
template <class X>
concept IdRow = TensorLike<X> &&(rank_of<X> == 1) && std::integral<ScalarOf<X>>;

// Class numbers: a range of integers, one a row of logits, a tensor [N] or ids [B, L].
template <class X>
concept Targets = nn::TokenIds<X> || IdRow<X> ||
    (std::ranges::forward_range<X>&& std::integral<std::ranges::range_value_t<X>>);

inline namespace HEED_ABI {

template <Targets X>
std::vector<std::int64_t> target_ids(const X& targets) {
  std::vector<std::int64_t> ids;
  if constexpr (nn::TokenIds<X>) {
    const auto from = view_of(targets);
    for (Index b = 0; b < from.extent[0]; ++b) {
      for (Index i = 0; i < from.extent[1]; ++i)
        ids.push_back(static_cast<std::int64_t>(from(b, i)));
    }
  } else if constexpr (IdRow<X>) {
    const auto from = view_of(targets);
    for (Index n = 0; n < from.extent[0]; ++n) ids.push_back(static_cast<std::int64_t>(from(n)));
  } else {
    for (const auto id : targets) ids.push_back(static_cast<std::int64_t>(id));
  }
  return ids;
}

// The number of targets that count. Throws heed::Error where there is another number of targets
// than of rows, or where one is no class.
inline Index count_targets(const std::vector<std::int64_t>& targets, Index rows, Index classes,
                           const CrossEntropyOptions& options) {
  constexpr const char* call = "heed::train::cross_entropy: ";
  if (static_cast<Index>(targets.size()) != rows) {
    throw Error(call + std::to_string(targets.size()) + " targets for " + std::to_string(rows) +
                " rows of logits");
  }
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) {
    throw Error(call + std::string("label smoothing ") + std::to_string(options.label_smoothing) +
                " is outside [0, 1]");
  }
  Index count = 0;
  for (std::size_t n = 0; n < targets.size(); ++n) {
    if (targets[n] == options.ignored) continue;
    if (targets[n] < 0 || targets[n] >= classes) {
      throw Error(call + std::string("target ") + std::to_string(targets[n]) + " at " +
                  std::to_string(n) + " is outside [0, " + std::to_string(classes) + ")");
    }
    ++count;
  }
  return count;
}

// The loss of one row, in double; d = weight · its gradient.
template <class T>
double cross_entropy_row(const View<const T, 1>& logits, std::int64_t target, double smoothing,
                         double weight, const View<T, 1>& d) {
  const Index classes = logits.extent[0];
  double max = static_cast<double>(logits(0)), sum = 0, total = 0;
  for (Index c = 1; c < classes; ++c) max = std::fmax(max, static_cast<double>(logits(c)));
  for (Index c = 0; c < classes; ++c) {
    total += static_cast<double>(logits(c));
    sum += std::exp(static_cast<double>(logits(c)) - max);
  }
  const double lse = max + std::log(sum), even = smoothing / static_cast<double>(classes);
  for (Index c = 0; c < classes; ++c) {
    const double p = std::exp(static_cast<double>(logits(c)) - lse);
    const double wanted = even + (c == target ? 1 - smoothing : 0);
    d(c) = static_cast<T>(weight * (p - wanted));
  }
  const double spread = smoothing > 0 ? even * total : 0;  // 0 times a logit of −inf is NaN
  return lse - (1 - smoothing) * static_cast<double>(logits(target)) - spread;
}

// The mean of −log softmax(logits)[target] over the targets that count, and its gradient.
//
//   logits   [N, classes] or [B, L, classes], any strides
//   targets  [N], of Eigen too, or [B, L]: classes or options.ignored
//   returns  {loss, gradient}; both 0 where every target is ignored
//
// Throws heed::Error for a target that is no class. Rows are summed in ascending order.
template <nn::Tokens X, Targets Y>
auto cross_entropy(const X& logits, const Y& targets, const CrossEntropyOptions& options = {},
                   const nn::Options& call = {}) {
  using T = ScalarOf<X>;
  const auto x = nn::as_batch(view_of(logits));
  constexpr const char* name = "heed::train::cross_entropy";
  require_sane(view_of(logits), name, "logits");
  if constexpr (nn::TokenIds<Y>) {
    const auto of_rows = view_of(targets);
    require_sane(of_rows, name, "targets");
    const bool same = of_rows.extent[0] == x.extent[0] && of_rows.extent[1] == x.extent[1];
    const bool column =
        rank_of<X> == 2 && of_rows.extent[0] == x.extent[1] && of_rows.extent[1] == 1;
    require(same || column, name, "targets must be [B, L] of the logits",
            [&] { return "targets " + to_string(of_rows) + ", logits " + to_string(x); });
  }
  const Index rows = nn::token_count(x), classes = x.extent[2];
  const auto ids = target_ids(targets);
  const Index counted = count_targets(ids, rows, classes, options);
  auto gradient = nn::make_tokens(logits, classes);
  const auto d = nn::made_view<X>(gradient);
  std::vector<double> losses(ids.size(), 0.0);
  const int workers = worker_count(rows, call.threads, call.executor);
  parallel_for(rows, workers, call.executor, [&](Index n, int) {
    const View<const T, 1> row{nn::token(x, n), {classes}, {x.stride[2]}};
    const View<T, 1> to{nn::token(d, n), {classes}, {d.stride[2]}};
    const auto at = static_cast<std::size_t>(n);
    if (ids[at] == options.ignored) {
      for (Index c = 0; c < classes; ++c) to(c) = T(0);
    } else {
      losses[at] = cross_entropy_row(row, ids[at], options.label_smoothing,
                                     1 / static_cast<double>(counted), to);
    }
  });
  double loss = 0;
  for (const double one : losses) loss += one;
  return Loss{counted == 0 ? 0.0 : loss / static_cast<double>(counted), std::move(gradient)};
}

}  // namespace HEED_ABI
}  // namespace heed::train
