// The attention weights of a few queries, without those of all others.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <initializer_list>
#include <limits>
#include <span>  // concepts of ranges
#include <string>
#include <vector>

#include "heed/attention/operands.hpp"
#include "heed/attention/result.hpp"
#include "heed/core/eigen.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"

namespace heed {

// Numbers of queries: a vector, span or array of any integers.
template <class X>
concept RowNumbers =
    std::ranges::contiguous_range<const X> && std::integral<std::ranges::range_value_t<const X>>;

inline namespace HEED_ABI {

// The modified, masked scores of query i, then their softmax.
//   s  [Lk]   written; 0 everywhere where the query sees no key
template <class T, class M, class S>
void softmax_row(const Problem<T>& problem, Index b, Index h, int i, const M& mask, const S& score,
                 Accum<T>* s) {
  using R = Accum<T>;
  const Index kv_head = h / problem.shape.group();
  const int Lk = static_cast<int>(problem.shape.Lk);
  R max = std::numeric_limits<R>::lowest();
  for (int j = 0; j < Lk; ++j) {
    s[j] = mask_if(true, R(0));
    if (!mask.allows(i, j)) continue;
    R dot = 0;
    for (Index d = 0; d < problem.shape.D; ++d) {
      dot += static_cast<R>(problem.q(b, h, i, d)) * static_cast<R>(problem.k(b, kv_head, j, d));
    }
    s[j] = static_cast<R>(score.value(static_cast<R>(problem.scale) * dot, i, j));
    if (!is_masked(s[j]) && s[j] > max) max = s[j];
  }
  const R sink = sink_of<R>(problem, h);
  if (!is_masked(sink) && sink > max) max = sink;
  double sum = is_masked(sink) ? 0 : static_cast<double>(std::exp(sink - max));
  for (int j = 0; j < Lk; ++j) {
    s[j] = is_masked(s[j]) ? R(0) : std::exp(s[j] - max);
    sum += static_cast<double>(s[j]);
  }
  if (sum == 0) return;
  for (int j = 0; j < Lk; ++j) s[j] = static_cast<R>(static_cast<double>(s[j]) / sum);
}

// Throws heed::Error for a row outside [0, Lq).
inline void check_query_rows(const char* call, const std::vector<Index>& rows, Index Lq) {
  for (const Index row : rows) {
    if (row >= 0 && row < Lq) continue;
    throw Error(std::string(call) + ": row " + std::to_string(row) + " is outside [0, " +
                std::to_string(Lq) + ")");
  }
}

// weights[b, h, r] = softmax(mask(modify(scale · q[rows[r]] kᵀ))): who those queries attend to.
//
//   q        [B, Hq, Lq, D]    or [B, L, D] (one head), or [L, D]
//   k        [B, Hkv, Lk, D]
//   rows     [n]               queries in [0, Lq), in any order, also repeated; empty: no rows
//   returns  [B, Hq, n, Lk]    or [B, n, Lk], or [n, Lk]; before dropout; a row sums to 1, or is 0
//                              where its query sees no key
//
// Positions, masks and scores are those of the whole call: row rows[r] here is row rows[r] of
// heed::reference::attention's weights. Throws heed::Error as heed::attention does, and for a row
// outside the queries. Time O(B·Hq·n·Lk·D); memory O(B·Hq·n·Lk), nothing of the size Lq·Lk.
template <class Q, class K, RowNumbers Rows, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, K, M, S>
auto attention_weights(const Q& q, const K& k, const Rows& some, const M& mask = {},
                       const S& score = {}, const Options& options = {}) {
  constexpr const char* call = "heed::attention_weights";
  using T = ScalarOf<Q>;
  using R = Accum<T>;
  const auto& the_mask = as_mask(mask);
  const auto& the_score = as_score(score);
  const Shape shape = check_call(call, q, k, k, the_mask, the_score, options);
  const std::vector<Index> rows(std::begin(some), std::end(some));
  check_query_rows(call, rows, shape.Lq);
  const auto problem = make_problem(q, k, k, shape, options);
  Shape few = shape;
  few.Lq = static_cast<Index>(rows.size());
  auto weights = make_scores<Q, T>(few);
  const auto to = lift(mutable_view_of(weights));  // [B, Hq, n, Lk]
  const Index heads = checked_product(shape.B, shape.Hq);
  const Index tasks = checked_product(heads, few.Lq);
  const int workers = worker_count(tasks, options.threads, options.executor);
  Carver counter(nullptr);
  counter.array<R>(shape.Lk);
  const std::size_t bytes = counter.used();
  const Scratch scratch(bytes * static_cast<std::size_t>(workers), {});
  parallel_for(tasks, workers, options.executor, [&](Index task, int worker) {
    const Index b = task / few.Lq / shape.Hq, h = task / few.Lq % shape.Hq, r = task % few.Lq;
    auto* s = reinterpret_cast<R*>(scratch.begin() + bytes * static_cast<std::size_t>(worker));
    softmax_row(problem, b, h, static_cast<int>(rows[static_cast<std::size_t>(r)]),
                mask::bind(the_mask, shape, b, h), score::bind(the_score, shape, b, h), s);
    for (Index j = 0; j < shape.Lk; ++j) to(b, h, r, j) = static_cast<T>(s[j]);
  });
  return weights;
}

// attention_weights(q, k, {0, 5})
template <class Q, class K, class M = mask::None, class S = score::None>
auto attention_weights(const Q& q, const K& k, std::initializer_list<Index> rows,
                       const M& mask = {}, const S& score = {}, const Options& options = {}) {
  return attention_weights(q, k, std::vector<Index>(rows), mask, score, options);
}

}  // namespace HEED_ABI
}  // namespace heed
