// Attention over scores of low rank: scale·q kᵀ is cut to its largest singular values.
#pragma once

#include "heed/approx/low_rank/scores_svd.hpp"
#include "heed/approx/results.hpp"
#include "heed/approx/upcast.hpp"
#include "heed/simd/gemm/product.hpp"

namespace heed::approx {

struct LowRankOptions {
  std::optional<double> scale = {};  // default 1/sqrt(D)
  bool randomised = false;           // find the singular vectors by random projections
  std::uint64_t seed = 0;            // of these
  int threads = 0;                   // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;      // the user's pool

  heed::Options common() const {
    return {.scale = scale, .threads = threads, .executor = executor};
  }
};

inline namespace HEED_ABI {

// x [L, D] times factor [D, r], where both may be of other types.
template <class T, class R, class Real>
void project(const View<const T, 2>& x, const Dense<Real>& factor, const View<R, 2>& y) {
  const Dense<R> narrow = factor.template cast<R>();
  const View<const R, 2> w = matrix_of(narrow.data(), narrow.cols(), narrow.rows());
  if constexpr (std::is_same_v<T, R>) {
    simd::multiply<R>(x, w, y);
  } else {
    const std::vector<R> rows = simd::rows_as<R>(x);
    simd::multiply<R>(matrix_of(rows.data(), x.extent[0], x.extent[1]), w, y);
  }
}

// out = softmax(mask(modify(U_r Σ_r V_rᵀ))) v, with the `rank` largest singular triplets of each
// head's scale·q kᵀ: the scores of that rank that are nearest to it.
//
//   q [B, Hq, Lq, D]   k [B, Hkv, Lk, D]   v [B, Hkv, Lk, Dv], as for attention; any mask and score
//
// Returns {out, lse}. rank ≥ D is attention itself: scores have no higher rank. The decomposition
// sees all queries and keys, masked or not: a NaN in q or k makes its whole head NaN, and causal
// rows depend, through the directions chosen, on later tokens. Throws heed::Error as attention
// does, and for a rank below 1.
//
// Time O((Lq + Lk)·D² + D³) for the factors, then attention over rank instead of D: Lq·Lk·(rank +
// Dv). Softmax and p·v cost what they did, so it saves at most half. Scratch O((Lq + Lk)·rank).
// Singular values below 1e-7 of the largest are cut too.
// Eckart and Young, "The approximation of one matrix by another of lower rank" (1936).
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
auto low_rank(const Q& q, const K& k, const V& v, Index rank, const M& mask = {},
              const S& score = {}, const LowRankOptions& options = {}) {
  constexpr const char* call = "heed::approx::low_rank";
  using T = ScalarOf<Q>;
  using R = Accum<T>;
  const heed::Options common = options.common();
  Shape shape = check_call(call, q, k, v, as_mask(mask), as_score(score), common);
  if (rank < 1) refuse({call, ": rank ", rank, " is below 1"});
  auto problem = make_problem(q, k, v, shape, common);
  auto result = result_for(q, problem);
  if (has_no_rows(shape)) return result;
  if (rank >= shape.D) {
    run(problem, as_mask(mask), as_score(score), common);
    return result;
  }
  const OwnedTensor<R> queries(shape.B, shape.Hq, shape.Lq, rank);
  const OwnedTensor<R> keys(shape.B, shape.Hq, shape.Lk, rank);
  const Index heads = checked_product(shape.B, shape.Hq);
  parallel_for(heads, worker_count(heads, options.threads, options.executor), options.executor,
               [&](Index head, int) {
                 const Index b = head / shape.Hq, h = head % shape.Hq;
                 const auto q_h = problem.q.matrix(b, h);
                 const auto k_h = problem.k.matrix(b, h / shape.group());
                 const auto factors = score_factors<double>(q_h, k_h, problem.scale, rank,
                                                            {options.randomised, options.seed});
                 project(q_h, factors.queries, queries.view().matrix(b, h));
                 project(k_h, factors.keys, keys.view().matrix(b, h));
               });
  const Upcast<T, R> values(problem.v, shape.group());
  shape.Hkv = shape.Hq;
  shape.D = rank;
  attention_in(queries.view().as_const(), keys.view().as_const(), values.view(), shape, 1.0,
               problem.out, problem.lse, as_mask(mask), as_score(score), common);
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
