// Attention a chunk of queries at a time: all scores of the chunk, one plain softmax a row.
// Scratch is O(chunk · Lk) a worker instead of O(Lq · Lk). It is flash_forward with all keys in one
// block, so the running softmax runs once.
#pragma once

#include <algorithm>

#include "heed/attention/flash/forward.hpp"
#include "heed/attention/operands.hpp"
#include "heed/attention/result.hpp"
#include "heed/core/eigen.hpp"

namespace heed::chunked {

struct Options {
  Index chunk = 512;                 // queries at a time
  bool weights = false;              // return the weights too: O(Lq · Lk), what chunks avoid
  std::optional<double> scale = {};  // default 1/sqrt(D)
  int threads = 0;                   // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;      // the user's pool
  double dropout = 0;                // probability that a weight is dropped, in [0, 1]
  std::uint64_t seed = 0;            // of dropout
  HeadNumbers<false> sinks = {};     // [Hq], which join the softmax of their head's rows

  heed::Options common() const {
    return {.scale = scale,
            .threads = threads,
            .executor = executor,
            .dropout = dropout,
            .seed = seed,
            .sinks = sinks};
  }
};

template <class Out, class Lse, class Weights>
struct Result {
  Out out;                    // [B, Hq, Lq, Dv]
  Lse lse;                    // [B, Hq, Lq], natural log
  Weights weights;            // [B, Hq, Lq, Lk] before dropout; empty unless asked for
  std::size_t scratch_bytes;  // held during the call
  std::size_t weights_bytes;  // held by `weights`
};

inline namespace HEED_ABI {

// The plan of flash with one block that holds all keys and one query sub-block that holds the
// chunk.
inline FlashPlan plan(const Shape& shape, const simd::TileShape& tile_shape, Index chunk,
                      int threads, const Executor* executor) {
  constexpr Index most = Index{1} << 30;  // rows of a task, in whole row tiles, are counted by int
  FlashPlan plan{tile_shape, tile_shape.columns_in_panels(shape.Lk)};
  plan.q_block = static_cast<int>(std::clamp<Index>(std::min(shape.Lq, chunk), 1, most));
  plan.q_inner = static_cast<int>(tile_shape.m_tiles(plan.q_block));
  plan.q_blocks = (shape.Lq + plan.q_block - 1) / plan.q_block;
  plan.tasks = checked_product(checked_product(shape.B, shape.Hq), plan.q_blocks);
  plan.workers = worker_count(plan.tasks, threads, executor);
  return plan;
}

// out = softmax(mask(modify(scale·q kᵀ))) v, `options.chunk` queries at a time.
//
//   q [B, Hq, Lq, D]   k [B, Hkv, Lk, D]   v [B, Hkv, Lk, Dv], or rank 3 or 2, as for attention
//
// Throws heed::Error as attention does, and for a chunk below 1. Time O(Lq·Lk·D); scratch
// O(threads · Lk · (chunk + D + Dv)).
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
auto attention(const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
               const Options& options = {}) {
  constexpr const char* call = "heed::chunked::attention";
  using T = ScalarOf<Q>;
  using R = Accum<T>;
  using Weights = typename TensorTraits<View<T, rank_of<Q>>>::template Owned<T>;
  using Traits = TraitsOf<Q>;
  const Shape shape = check_call(call, q, k, v, as_mask(mask), as_score(score), options.common());
  if (options.chunk < 1) throw Error(std::string(call) + ": the chunk is below 1");
  const FlashKernels<T> kernels = packed_flash_kernels<T>(shape, isa());
  const FlashPlan cut =
      plan(shape, kernels.packed.tile_shape, options.chunk, options.threads, options.executor);
  const auto scratch = static_cast<std::size_t>(flash_workspace_bytes<R>(shape, cut));

  Shape none = shape;
  none.Lq = 0;
  Result<typename Traits::template Owned<T>, typename Traits::template Rows<R>, Weights> result{
      make_like<T>(q, shape), make_rows<Q, R>(shape.B, shape.Hq, shape.Lq),
      make_scores<Q, T>(options.weights ? shape : none), scratch, 0};
  result.weights_bytes = static_cast<std::size_t>(result.weights.size()) * sizeof(T);
  auto problem = make_problem(q, k, v, shape, options.common());
  problem.out = lift(Traits::template owned_view<T>(result.out));
  problem.lse = lift_rows(Traits::template rows_view<R>(result.lse));
  if (options.weights) {
    std::fill_n(result.weights.data(), result.weights.size(), T(0));
    problem.weights = lift(mutable_view_of(result.weights));
  }
  const Scratch memory(scratch, {});
  flash_forward(problem, kv::Dense<T>{problem.k, problem.v}, as_mask(mask), as_score(score), cut,
                kernels, options.executor, memory.begin());
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::chunked
