// The gradients of what a score holds, in a backward call: checks, and the sums they are kept in.
#pragma once

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "heed/attention/operands.hpp"
#include "heed/core/scratch.hpp"
#include "heed/score/chain_rule.hpp"

namespace heed {

inline namespace HEED_ABI {

// The sums of one gradient. A matrix [m, n] of parameters belongs to a head, or to several.
//
//   in place   pairs keep apart: the sum is the caller's memory
//   shared     pairs keep apart, but the caller's halves do not hold a sum: it is `totals`
//   by task    else: each task has sums of its own, which are added to `totals` in a fixed order
template <class P, bool CanBeApart>
struct GradientSums {
  View<P, 4> to;           // [B | 1, Hq | 1, m, n]
  bool by_task, in_place;  // else shared
  double* totals;          // as `to`, packed, unless in place
  double* of_tasks;        // [heads of a wave, spans, group, m · n] by task

  Index numbers() const { return to.extent[2] * to.extent[3]; }
  Index rows() const { return to.empty() ? 0 : to.extent[0] * to.extent[1] * to.extent[2]; }
  Index size() const { return rows() * to.extent[3]; }

  // The matrix of a head. Axes of one number have stride 0.
  template <class X>
  View<X, 2> matrix_of(X* data, Index row, Index column) const {
    return {data,
            {to.extent[2], to.extent[3]},
            {to.extent[2] == 1 ? 0 : row, to.extent[3] == 1 ? 0 : column}};
  }
  Index batch_of(Index b) const { return to.extent[0] == 1 ? 0 : b; }
  Index head_of(Index h) const { return to.extent[1] == 1 ? 0 : h; }
  double* totals_of(Index b, Index h) const {
    return totals + (batch_of(b) * to.extent[1] + head_of(h)) * numbers();
  }
  score::HeadSums<P, CanBeApart> in_totals(Index b, Index h) const {
    return {{nullptr, {}, {}}, matrix_of(totals_of(b, h), to.extent[3], 1)};
  }
  score::HeadSums<P, CanBeApart> of_head(Index b, Index h, Index task) const {
    if (in_place) {
      P* head = to.data + to.offset(batch_of(b), head_of(h));
      return {matrix_of(head, to.stride[2], to.stride[3]), {nullptr, {}, {}}};
    }
    if (!by_task) return in_totals(b, h);
    return {{nullptr, {}, {}}, matrix_of(of_tasks + task * numbers(), to.extent[3], 1)};
  }
};

// f(element) for each of a tuple.
template <class Tuple, class F>
void for_each_of(const Tuple& tuple, F&& f) {
  std::apply([&](const auto&... element) { (f(element), ...); }, tuple);
}

// Throws heed::Error where a gradient of the score repeats elements, or overlaps options.workspace,
// what the score holds, another of its gradients, or one of `others`, which have names.
template <class S, class... Others>
void check_score_gradients(const char* call, const S& score, const Shape& shape,
                           const Options& options,
                           const std::pair<const char*, Others>&... others) {
  const auto all = score::gradients(score, shape);
  for_each_of(all, [&](const auto& gradient) {
    const auto& to = gradient.to;
    require_distinct(to, call, "a score's gradient");
    check_workspace(options, "a score's gradient", to);
    const auto apart = [&](const char* name, const auto& x) {
      require(!may_overlap(to, x), call, "a score's gradient overlaps other memory of the call",
              [&] { return "gradient " + to_string(to) + "; " + name + " " + to_string(x); });
    };
    (apart(others.first, others.second), ...);
    for_each_of(all, [&](const auto& other) {
      apart("parameters of a score", other.parameters);
      if (static_cast<const void*>(&other) != &gradient) apart("another gradient", other.to);
    });
  });
}

// The sums of every gradient that the score asks for, of numbers of R, in a tuple.
//
//   tasks  of a wave, with sums of their own; 0 where one thread goes pair by pair: all is totals
template <class R, class S>
auto gradient_sums(Carver& carver, const S& score, const Shape& shape, Index tasks) {
  const auto sums_of = [&]<class P, class X, bool CanBeApart>(
                           const score::ParameterGradient<P, X, CanBeApart>& gradient) {
    GradientSums<P, CanBeApart> sums{gradient.to, false, false, nullptr, nullptr};
    const auto& extent = gradient.to.extent;
    const bool of_one_head = (extent[0] != 1 || shape.B == 1) && (extent[1] != 1 || shape.Hq == 1);
    sums.by_task = tasks > 0 && !gradient.pairs_apart;
    sums.in_place = tasks > 0 && gradient.pairs_apart && (of_one_head || sizeof(P) >= sizeof(R));
    if (!sums.in_place) sums.totals = carver.array<double>(sums.size());
    if (sums.by_task) {
      sums.of_tasks = carver.array<double>(checked_product(tasks, sums.numbers()));
    }
    return sums;
  };
  return std::apply([&](const auto&... gradient) { return std::tuple{sums_of(gradient)...}; },
                    score::gradients(score, shape));
}

template <class R, class S>
Index sums_bytes(const S& score, const Shape& shape, Index tasks) {
  Carver counter(nullptr);
  gradient_sums<R>(counter, score, shape, tasks);
  return static_cast<Index>(counter.used());
}

template <class R, class S>
using ScoreSums =
    decltype(gradient_sums<R>(std::declval<Carver&>(), std::declval<const S&>(), Shape{}, 0));

// The sums' matrices of a head, in a tuple.
//   task  the number of a task in its wave
template <class... Sums>
auto head_sums(const std::tuple<Sums...>& sums, Index b, Index h, Index task) {
  return std::apply([&](const auto&... each) { return std::tuple{each.of_head(b, h, task)...}; },
                    sums);
}

// Row n of a gradient's rows (b, h, m): of the caller's, and of the totals.
template <class P, bool CanBeApart>
View<P, 1> row_of(const GradientSums<P, CanBeApart>& sums, Index n) {
  const auto& extent = sums.to.extent;
  const Index i = n % extent[2], h = n / extent[2] % extent[1], b = n / extent[2] / extent[1];
  return {sums.to.data + sums.to.offset(b, h, i), {extent[3]}, {sums.to.stride[3]}};
}
template <class P, bool CanBeApart>
void clear_row(const GradientSums<P, CanBeApart>& sums, Index n) {
  const View<P, 1> row = row_of(sums, n);
  const Index count = row.extent[0];
  if (!sums.in_place) {
    std::fill_n(sums.totals + n * count, count, 0.0);
  } else if (row.stride[0] == 1) {
    std::fill_n(row.data, count, P(0));
  } else {
    for (Index d = 0; d < count; ++d) row(d) = P(0);
  }
}
template <class P, bool CanBeApart>
void store_row(const GradientSums<P, CanBeApart>& sums, Index n) {
  if (sums.in_place) return;
  const View<P, 1> row = row_of(sums, n);
  const Index count = row.extent[0];
  for (Index d = 0; d < count; ++d) row(d) = static_cast<P>(sums.totals[n * count + d]);
}

}  // namespace HEED_ABI
}  // namespace heed
