// Attention to the best keys of each row alone: their scores are found block by block, as flash
// attention does, and never stored as a matrix.
#pragma once

#include "heed/approx/options.hpp"
#include "heed/approx/results.hpp"
#include "heed/approx/top_k/task.hpp"
#include "heed/attention/run.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// As flash attention's plan, but with so few queries a task that their candidates stay in the
// L2.
inline FlashPlan top_k_plan(const Shape& shape, const simd::TileShape& tile_shape, int keep,
                            int threads, const Executor* executor) {
  constexpr Index most_candidates = 1 << 15;
  FlashPlan plan = flash_plan(shape, tile_shape, tile_shape, false, threads, executor);
  plan.task_splits = plan.splits;  // the best of a row are among all keys
  const Index most = std::max<Index>(8 * tile_shape.mr, most_candidates / (2 * Index{keep} + 64));
  if (Index{plan.heads_per_task} * plan.q_block > most) {
    plan.heads_per_task = 1;
    plan.q_block =
        static_cast<int>(std::min<Index>(plan.q_block, tile_shape.tile_of(most) * tile_shape.mr));
  }
  plan.q_blocks = (shape.Lq + plan.q_block - 1) / plan.q_block;
  plan.tasks =
      checked_product(checked_product(shape.B, shape.Hq) / plan.heads_per_task, plan.q_blocks);
  plan.workers = worker_count(plan.tasks, threads, executor);
  return plan;
}

// f(task, memory) for every task of a call; 0 < keep. `more` bytes of memory are f's own.
//   source  of keys and values; problem.k and problem.v are not looked at
template <class T, class K, class M, class S, class F>
void for_each_top_k_task(const Problem<T>& problem, const K& source, int keep, const M& mask,
                         const S& score, const Options& options, Index more, F&& f) {
  using R = Accum<T>;
  using U = kv::ElementOf<K, T>;
  Problem<T> scores = problem;
  scores.shape.Dv = 0;
  const Isa best = isa();
  const CallKernels<T> kernels = call_kernels<T>(best);
  const FlashKernels<T> of_flash{kernels.of_tensors, simd::unpacked_kernels<T>(best)};
  const simd::TileShape& tile_shape = kernels.of_tensors.tile_shape;
  FlashPlan plan = top_k_plan(scores.shape, tile_shape, keep, options.threads, options.executor);
  plan.gathers = !std::is_same_v<K, kv::Dense<T>>;
  Carver counter(nullptr);
  flash_scratch<R>(counter, scores.shape, plan);
  TopKScratch<R>(counter, tile_shape, plan.rows(), keep, problem.shape.Dv);
  counter.array<std::byte>(more);
  const auto bytes = static_cast<Index>(counter.used());
  const Scratch memory(static_cast<std::size_t>(checked_product(bytes, plan.workers)), {});
  parallel_for(plan.tasks, plan.workers, options.executor, [&](Index index, int worker) {
    Carver carver(memory.begin() + worker * bytes);
    const FlashScratch<R> scratch = flash_scratch<R>(carver, scores.shape, plan);
    const QueryBlock rows = query_block_of(plan, scores.shape, index);
    const Shape entry = kv::shape_of_entry(source, scores.shape, rows.b);
    const FlashTask<T, M, S> flash{scores, {mask, score, entry, rows}, plan, of_flash, rows,
                                   scratch};
    const auto bound = source.bind(problem.shape, rows.b, flash.kv_head());
    const HeadKv<U, std::remove_cv_t<decltype(bound)>> kv{bound, source.length(rows.b)};
    const TopKScratch<R> own(carver, tile_shape, plan.rows(), keep, problem.shape.Dv);
    const TopKTask<T, M, S, decltype(kv)> task{
        flash, problem, kv, keep, own, kernels, simd::unpacked_kernels<R>(best)};
    f(task, carver.array<std::byte>(more));
  });
}

// Every row of a problem whose out and lse are set; 0 < keep.
template <class T, class K, class M, class S>
void run_top_k(const Problem<T>& problem, const K& source, int keep, const M& mask, const S& score,
               const Options& options) {
  for_each_top_k_task(problem, source, keep, mask, score, options, 0,
                      [](const auto& task, std::byte*) { top_k_task(task); });
}

// The result of rows that see nothing.
template <class Result>
void clear(Result& result) {
  using R = typename decltype(result.lse)::Scalar;
  std::fill_n(result.out.data(), result.out.size(), typename decltype(result.out)::Scalar(0));
  std::fill_n(result.lse.data(), result.lse.size(), mask_if(true, R(0)));
}

// Throws heed::Error for a negative number of keys.
inline void check_keep(const char* call, Index keep) {
  if (keep < 0) refuse({call, ": keep ", keep, " is negative"});
}

// Attention in which each row sees only the `keep` keys of its largest scores.
//
//   q [B, Hq, Lq, D]   k [B, Hkv, Lk, D]   v [B, Hkv, Lk, Dv], as for attention; any mask and score
//
// Returns {out, lse} over the keys kept: exp(lse − exact lse) is the share of the softmax that they
// hold. Of keys with the same modified score the first are kept; a row that sees fewer than `keep`
// keeps all it sees; a NaN that it sees is kept. keep ≥ Lk is attention itself, keep = 0 gives rows
// of 0 and lse −inf. Throws heed::Error as attention does, and for a negative keep.
//
// Time O(Lq·Lk·D), all of it in q·kᵀ: p·v shrinks to O(Lq·keep·Dv). Scratch O(threads·(tile·D +
// 2^15 candidates)), or 48·keep of them where that is more.
// Gupta et al., "Memory-efficient Transformers via Top-k Attention" (2021), section 2.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
auto top_k(const Q& q, const K& k, const V& v, Index keep, const M& mask = {}, const S& score = {},
           const Options& options = {}) {
  constexpr const char* call = "heed::approx::top_k";
  using T = ScalarOf<Q>;
  const heed::Options common = options.common();
  const Shape shape = check_call(call, q, k, v, as_mask(mask), as_score(score), common);
  check_keep(call, keep);
  auto problem = make_problem(q, k, v, shape, common);
  auto result = result_for(q, problem);
  if (has_no_rows(shape)) return result;
  if (keep >= shape.Lk) {
    run(problem, as_mask(mask), as_score(score), common);
  } else if (keep == 0) {
    clear(result);
  } else {
    run_top_k(problem, kv::Dense<T>{problem.k, problem.v}, static_cast<int>(keep), as_mask(mask),
              as_score(score), options);
  }
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
