// The textbook: softmax(mask(modify(scale·q kᵀ))) v, a row at a time, nothing clever. The oracle.
// Vaswani et al., "Attention Is All You Need" (2017), equation 1.
#pragma once

#include <cmath>
#include <type_traits>
#include <vector>

#include "heed/attention/operands.hpp"
#include "heed/attention/result.hpp"
#include "heed/core/eigen.hpp"

namespace heed::reference {

template <class Out, class Weights, class Lse>
struct ReferenceResult {
  Out out;                  // [B, Hq, Lq, Dv]
  Weights weights;          // [B, Hq, Lq, Lk]  rows sum to 1, with a sink to less; 0 where a row
                            //                  sees no key
  Weights dropped_weights;  // [B, Hq, Lq, Lk]  after dropout: out = dropped_weights · v
  Weights scores;  // [B, Hq, Lq, Lk]  scale·q·k in logits, before score modifiers and mask
  Lse lse;         // [B, Hq, Lq]      natural log; −inf, or the sink, where a row sees no key
  Weights modified_scores;  // [B, Hq, Lq, Lk]  after score modifiers and mask; −inf where masked
};

inline namespace HEED_ABI {

// One query of one head. Dots, softmax and sums are in R, the weights are rounded to W before they
// meet the values. Every pointer is a row of Lk numbers.
template <class W, class T, class R, class M, class S>
R row(const Problem<T>& problem, Index b, Index h, int i, const M& mask, const S& score, W* weights,
      W* dropped, W* scores, W* modified_scores, std::vector<R>& modified) {
  const Index kv_head = h / problem.shape.group();
  const int Lk = static_cast<int>(problem.shape.Lk);
  const R sink = sink_of<R>(problem, h);
  R max = is_masked(sink) ? std::numeric_limits<R>::lowest() : sink;
  bool sees = false;
  for (int j = 0; j < Lk; ++j) {
    R dot = 0;
    for (Index d = 0; d < problem.shape.D; ++d) {
      dot += static_cast<R>(problem.q(b, h, i, d)) * static_cast<R>(problem.k(b, kv_head, j, d));
    }
    const R s = static_cast<R>(problem.scale) * dot;
    scores[j] = static_cast<W>(s);
    R& m = modified[static_cast<std::size_t>(j)];
    m = mask_if(!mask.allows(i, j), static_cast<R>(score.value(s, i, j)));
    modified_scores[j] = static_cast<W>(m);
    sees = sees || !is_masked(m);
    if (!is_masked(m) && m > max) max = m;
  }
  R sum = is_masked(sink) ? R(0) : std::exp(sink - max);
  for (const R m : modified) sum += is_masked(m) ? R(0) : std::exp(m - max);
  const Dropout& dropout = problem.dropout;
  for (int j = 0; j < Lk; ++j) {
    const R m = modified[static_cast<std::size_t>(j)];
    const R weight = is_masked(m) ? R(0) : std::exp(m - max) / sum;
    const bool kept = !dropout.active() ||
                      dropout.keeps(static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(h),
                                    static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j));
    weights[j] = static_cast<W>(weight);
    dropped[j] = static_cast<W>(kept ? weight * static_cast<R>(dropout.keep_scale) : R(0));
  }
  return sees ? max + std::log(sum) : sink;
}

// out[i] = Σ_j dropped[j]·v[j] over the keys the row sees: behind a mask, 0·inf is nothing.
template <class W, class T, class R>
void weighted_values(const Problem<T>& problem, Index b, Index h, int i, const W* dropped,
                     const std::vector<R>& modified, const View<W, 4>& out) {
  const Index kv_head = h / problem.shape.group();
  for (Index d = 0; d < problem.shape.Dv; ++d) {
    R sum = 0;
    for (std::size_t j = 0; j < modified.size(); ++j) {
      if (is_masked(modified[j])) continue;
      sum += static_cast<R>(dropped[j]) *
             static_cast<R>(problem.v(b, kv_head, static_cast<Index>(j), d));
    }
    out(b, h, i, d) = static_cast<W>(sum);
  }
}

// Rows of Lk numbers, each `step` behind the one before: 0 where they are not kept.
template <class W>
struct RowNumbers {
  W *weights, *dropped, *scores, *modified_scores;
  Index step;

  RowNumbers of(Index row) const {
    const Index at = row * step;
    return {weights + at, dropped + at, scores + at, modified_scores + at, step};
  }
};

// Every row in ascending order.
//   lse  may have no data
template <class W, class T, class R, class M, class S>
void attend(const Problem<T>& problem, const M& mask, const S& score, const RowNumbers<W>& numbers,
            const View<W, 4>& out, const View<R, 3>& lse) {
  const Shape& shape = problem.shape;
  std::vector<R> modified(static_cast<std::size_t>(shape.Lk));
  const Index batches = shape.Lq == 0 || shape.Hq == 0 ? 0 : shape.B;  // of which there is a row
  for (Index b = 0; b < batches; ++b) {
    for (Index h = 0; h < shape.Hq; ++h) {
      const auto bound_mask = mask::bind(mask, shape, b, h);
      const auto bound_score = score::bind(score, shape, b, h);
      for (int i = 0; i < shape.Lq; ++i) {
        const RowNumbers<W> of_row = numbers.of((b * shape.Hq + h) * shape.Lq + i);
        const R row_lse = row(problem, b, h, i, bound_mask, bound_score, of_row.weights,
                              of_row.dropped, of_row.scores, of_row.modified_scores, modified);
        if (lse.data != nullptr) lse(b, h, i) = row_lse;
        weighted_values(problem, b, h, i, of_row.dropped, modified, out);
      }
    }
  }
}

// Attention with every intermediate result, O(Lq·Lk) memory, one thread.
//
//   q [B, Hq, Lq, D]   k [B, Hkv, Lk, D]   v [B, Hkv, Lk, Dv], or rank 3 or 2, as for attention
//
// attention(…) computes as the obvious code in the inputs' type does: dots, softmax and sums in
// float (double for double), weights rounded before they meet v, out rounded once.
// attention<double>(…) takes the same inputs and computes in double: the oracle.
// Throws heed::Error as attention does.
template <class Compute = void, class Q, class K, class V, class M = mask::None,
          class S = score::None>
requires RightTypes<Q, K, V, M, S>
auto attention(const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
               const Options& options = {}) {
  constexpr const char* call = "heed::reference::attention";
  using T = ScalarOf<Q>;
  using W = std::conditional_t<std::is_void_v<Compute>, T, Compute>;
  using R = Accum<W>;
  using Traits = TraitsOf<Q>;
  const auto& the_mask = as_mask(mask);
  const auto& the_score = as_score(score);
  const auto shape = check_call(call, q, k, v, the_mask, the_score, options);
  const auto problem = make_problem(q, k, v, shape, options);
  using ScoreTraits = TensorTraits<View<W, rank_of<Q>>>;

  ReferenceResult<typename Traits::template Owned<W>, typename ScoreTraits::template Owned<W>,
                  typename Traits::template Rows<R>>
      result{make_like<W>(q, shape),
             make_scores<Q, W>(shape),
             make_scores<Q, W>(shape),
             make_scores<Q, W>(shape),
             make_rows<Q, R>(shape.B, shape.Hq, shape.Lq),
             make_scores<Q, W>(shape)};
  const auto out = lift(Traits::template owned_view<W>(result.out));
  const auto lse = lift_rows(Traits::template rows_view<R>(result.lse));
  const RowNumbers<W> numbers{result.weights.data(), result.dropped_weights.data(),
                              result.scores.data(), result.modified_scores.data(), shape.Lk};
  attend(problem, the_mask, the_score, numbers, out, lse);
  if (options.report != nullptr) {
    *options.report = {"reference", "plain C++", call, "one thread (reference)", 1, 0};
  }
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::reference
