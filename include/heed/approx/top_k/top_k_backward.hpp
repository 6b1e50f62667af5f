// The gradients of attention to the best keys of each row, through the keys that it keeps.
#pragma once

#include <algorithm>
#include <type_traits>

#include "heed/approx/top_k/kept_keys.hpp"
#include "heed/approx/top_k/kept_row.hpp"
#include "heed/approx/top_k/top_k.hpp"
#include "heed/approx/upcast.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// d_k and d_v, keys block by block.
template <class T>
void sum_kept_keys(const Problem<T>& problem, const View<const T, 4>& d_out,
                   const GradientViews<T>& to, const KeptKeys<Accum<T>>& kept,
                   const CallKernels<T>& kernels, const Options& options) {
  using R = Accum<T>;
  constexpr Index block = 256;  // sums of keys of 64 stay in L2
  const Shape& shape = problem.shape;
  const SumOfKeys<T> of_k{kernels, kept, kept.d_scores, shape, problem.q, to.d_k};
  const SumOfKeys<T> of_v{kernels, kept, kept.weights, shape, d_out, to.d_v};
  const Index columns = std::max(of_k.columns(), of_v.columns());
  const Index blocks = (shape.Lk + block - 1) / block;
  const Index tasks = checked_product(checked_product(shape.B, shape.Hkv), blocks);
  const int workers = worker_count(tasks, options.threads, options.executor);
  Carver counter(nullptr);
  counter.array<R>(block * columns);
  counter.array<R>(columns);
  const auto bytes = static_cast<Index>(counter.used());
  const Scratch memory(static_cast<std::size_t>(checked_product(bytes, workers)), {});
  parallel_for(tasks, workers, options.executor, [&](Index task, int worker) {
    Carver carver(memory.begin() + worker * bytes);
    R* const sums = carver.array<R>(block * columns);
    R* const row = carver.array<R>(columns);
    const Index head = task / blocks, begin = task % blocks * block;
    const Index end = std::min(begin + block, shape.Lk);
    of_k(head / shape.Hkv, head % shape.Hkv, begin, end, sums, row);
    of_v(head / shape.Hkv, head % shape.Hkv, begin, end, sums, row);
  });
}

// All gradients; 0 < keep < Lk.
template <class T, class M, class S>
void run_top_k_backward(const Problem<T>& problem, const View<const T, 4>& d_out,
                        const GradientViews<T>& to, int keep, const M& mask, const S& score,
                        const Options& options) {
  using R = Accum<T>;
  const CallKernels<T> kernels = call_kernels<T>(isa());
  const simd::TileShape& tiles = kernels.of_tensors.tile_shape;
  Carver all(nullptr), one(nullptr);
  KeptKeys<R>::carve(all, problem.shape, keep);
  KeptRowScratch<R>(one, tiles, problem.shape, keep);
  const Scratch memory(all.used(), {});
  Carver carver(memory.begin());
  const auto kept = KeptKeys<R>::carve(carver, problem.shape, keep);
  for_each_top_k_task(problem, kv::Dense<T>{problem.k, problem.v}, keep, mask, score, options,
                      static_cast<Index>(one.used()), [&](const auto& task, std::byte* more) {
                        Carver own(more);
                        const KeptRowScratch<R> scratch(own, tiles, problem.shape, keep);
                        for_each_best(task, [&](auto& best, Index h, int i) {
                          KeptRow row(task, scratch, best, kept, h, i);
                          row.keep_weights(attend_best(task, best));
                          row.keep_score_gradients(d_out);
                          row.store_d_q(to.d_q);
                        });
                      });
  sum_kept_keys(problem, d_out, to, kept, kernels, options);
}

// Exact attention, forward and backward.
template <class T, class M, class S>
void run_exact_backward(Problem<T> problem, const View<const T, 4>& d_out,
                        const GradientViews<T>& to, const M& mask, const S& score,
                        const heed::Options& options) {
  const Shape& shape = problem.shape;
  const OwnedTensor<Accum<T>> out(shape.B, shape.Hq, shape.Lq, shape.Dv);
  auto lse = zeros<Accum<T>>(checked_product(checked_product(shape.B, shape.Hq), shape.Lq));
  if constexpr (std::is_same_v<T, Accum<T>>) {
    problem.out = out.view();
  } else {
    problem.unrounded_out = out.view();
  }
  problem.lse = heed::view(lse.data(), {shape.B, shape.Hq, shape.Lq});
  run(problem, mask, score, options);
  run_backward(problem, out.view().as_const(), d_out, to, mask, score, options);
}

// The gradients of Σ d_out ∘ out, where out = top_k(q, k, v, keep, mask, score, options).out: those
// of attention in which each row sees only the keys that it keeps. The choice itself is a step and
// has no gradient.
//
//   d_out    [B, Hq, Lq, Dv], of q's element type and rank, any strides
//   q, k, v  as for top_k; keep, mask, score and options as in that call
//
// Returns {d_q, d_k, d_v} in the layouts of q, k and v; d_k and d_v are summed over the heads of a
// group. The keys kept are those of the forward call, ties too; a key that no row keeps has
// gradient 0, as has a row that sees no key. Sums are float for half types, rounded once. The score
// needs a derivative (score::with_derivative gives a lambda one); else the call does not compile.
//
// The choice is computed again, so no result is asked for. Bits depend on neither threads nor
// batch. Throws heed::Error as top_k does, and where d_out is not [B, Hq, Lq, Dv].
// Time that of top_k and O(Lq·keep·(D + Dv)); scratch top_k's and O(B·Hq·Lq·keep).
// Gupta et al., "Memory-efficient Transformers via Top-k Attention" (2021), section 2.
template <class DOut, class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S> && RightGradientTypes<DOut, Q, S>
auto top_k_backward(const DOut& d_out, const Q& q, const K& k, const V& v, Index keep,
                    const M& mask = {}, const S& score = {}, const Options& options = {}) {
  constexpr const char* call = "heed::approx::top_k_backward";
  using T = ScalarOf<Q>;
  using TheScore = std::remove_cvref_t<decltype(as_score(score))>;
  static_assert(score::gradient_count<TheScore> == 0,
                "heed::approx::top_k_backward: gradients of what a score holds are not computed "
                "here: pass the score without score::with_gradient");
  const heed::Options common = options.common();
  const Shape shape = check_call(call, q, k, v, as_mask(mask), as_score(score), common);
  check_keep(call, keep);
  const auto problem = make_problem(q, k, v, shape, common);
  const View<const T, 4> d_o = lift(view_of(d_out));
  check_shape_of_out(call, "d_out", d_o, shape);
  Gradients gradients{make_as<T>(q), make_as<T>(k), make_as<T>(v)};
  const auto to = gradient_views<Q, K, V>(gradients);
  if (keep == 0 || has_no_rows(shape)) {
    std::fill_n(gradients.d_q.data(), gradients.d_q.size(), T(0));
    std::fill_n(gradients.d_k.data(), gradients.d_k.size(), T(0));
    std::fill_n(gradients.d_v.data(), gradients.d_v.size(), T(0));
  } else if (keep >= shape.Lk) {
    run_exact_backward(problem, d_o, to, as_mask(mask), as_score(score), common);
  } else {
    run_top_k_backward(problem, d_o, to, static_cast<int>(keep), as_mask(mask), as_score(score),
                       options);
  }
  return gradients;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
