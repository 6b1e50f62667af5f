// Exact attention in tiles; scores are never stored whole.
// Dao, "FlashAttention-2" (2023), Algorithm 1.
//
// A task holds a q block of up to 1024 queries. It packs a KV block, runs its row tiles over it,
// `q_inner` of them together, and goes on to the next KV block. Tiles that the mask calls Empty are
// skipped; KV blocks of such tiles are not packed.
#pragma once

#include <algorithm>

#include "heed/attention/flash/block_mask.hpp"
#include "heed/attention/flash/combine_splits.hpp"
#include "heed/attention/flash/score_epilogue.hpp"
#include "heed/attention/flash/store_output.hpp"
#include "heed/attention/flash/tile_args.hpp"
#include "heed/core/parallel.hpp"

namespace heed {

inline namespace HEED_ABI {

// Packs the queries of a task. False if the split products could turn an infinity in q into NaN.
template <class T, class M, class S>
bool load_queries(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const Problem<T>& problem = task.problem;
  const FlashScratch<R>& scratch = task.scratch;
  const simd::PackedKernels<T>& kernels = task.kernels.packed;
  const R scale = kernels.folds_scale ? scale_steps(task).early : R(1);
  const simd::PackedA<R> q = packed_queries(scratch, task.plan, problem.shape);
  bool inf_safe = true;
  for_each_head_segment(task.rows, 0, task.rows.count(), [&](Index h, int row, int begin, int end) {
    inf_safe &= kernels.pack_a(slice(problem.q.matrix(task.rows.b, h), begin, end - begin), scale,
                               q.from_row(row));
  });
  std::fill(q.row(task.rows.count()), q.row(task.plan.rows()), R(0));
  return inf_safe;
}

// A block of keys and values: packed in scratch, or read from the tensors.
template <class T>
struct KvBlock {
  int begin, keys;
  View<const T, 2> k, v;
  bool inf_safe;  // q·k of an infinite operand comes out right
  bool finite;    // all values are finite, or every row sees every key
};

// o += p·v. NaN and infinity do not reach rows that do not see their key.
template <class T, class M, class S>
void accumulate_output(const FlashTask<T, M, S>& task, const TileArgs<Accum<T>>& args,
                       const KvBlock<T>& block) {
  const simd::PackedKernels<T>& kernels = task.kernels.packed;
  if (!block.finite) {
    if (task.plan.unpacked) kernels.pack_b(block.v, args.v);
    kernels.gemm.pv_masked(args.scores, args.v, task.scratch.unmasked, args.state.acc);
  } else if (task.plan.unpacked) {
    task.kernels.unpacked.pv(args.scores, block.v, args.state.acc);
  } else {
    kernels.gemm.pv(args.scores, args.v, args.state.acc);
  }
}

// The row tiles from row `row` on, at most q_inner of them, against a KV block; its tiles start at
// panel `panel` of the block mask.
template <class T, class M, class S>
void attend_tiles(const FlashTask<T, M, S>& task, const simd::RowState<Accum<T>>& state, int row,
                  KvBlock<T> block, const BlockMask& map, int panel) {
  using R = Accum<T>;
  const simd::TileShape& tile_shape = task.plan.tile_shape;
  const FlashScratch<R>& scratch = task.scratch;
  const int group = row / tile_shape.mr;
  const int queries = std::min(task.plan.q_inner * tile_shape.mr, task.rows.count() - row);
  auto args =
      make_tile_args(scratch, state, task.plan, task.problem.shape, row, queries, block.keys);
  const auto [early, late] = scale_steps(task);
  if (!task.kernels.packed.folds_scale) args.q.scale = early;
  const simd::ScoreTiles<R>& scores = args.scores;
  const mask::Coverage seen =
      map.copy(group, scores.m_tiles, panel, scores.panels, scratch.coverage);
  if (seen == mask::Coverage::Empty) return;  // whose weights, if asked for, are 0 already
  if (task.plan.unpacked) {
    task.kernels.unpacked.qk(args.q, block.k, scores);
  } else {
    task.kernels.packed.gemm.qk(args.q, args.kt, scores);
    if (!block.inf_safe) recompute_nan_scores(task, scores, group, block.begin, block.k);
  }
  if (late != R(1)) scale_scores(task, scores, late);
  if (!folds_scale<S> || block.keys % tile_shape.nr != 0 || seen != mask::Coverage::Full) {
    apply_epilogue(task, scores, group, block.begin);
  }
  if (task.plan.unpacked) {  // values are read once more only where a score of −inf may hide some
    const simd::UnpackedKernels<T>& kernels = task.kernels.unpacked;
    block.finite = kernels.all_unmasked(scores) || kernels.all_finite(block.v);
  }
  if (!block.finite) {
    const Index count = scores.tiles() * scores.tile_size();
    for (Index n = 0; n < count; ++n) scratch.unmasked[n] = !is_masked(scores.data[n]);
  }
  task.kernels.packed.softmax(scores, args.state);
  if (task.shrink != R(1)) shrink_weights(scores, task.shrink);
  if (task.problem.weights.data != nullptr) store_weights(task, args, group);
  if (task.problem.dropout.active()) drop_weights(task, scores, group, block.begin);
  accumulate_output(task, args, block);
}

// All rows of a task against the keys [begin, begin + keys).
template <class T, class M, class S>
void attend_block(const FlashTask<T, M, S>& task, SplitStates<T, M, S>& states, int begin, int keys,
                  const BlockMask& map, int panel, bool inf_safe) {
  const Problem<T>& problem = task.problem;
  const simd::PackedKernels<T>& kernels = task.kernels.packed;
  const auto k = problem.k.matrix(task.rows.b, task.kv_head());
  const auto v = problem.v.matrix(task.rows.b, task.kv_head());
  KvBlock<T> block{begin, keys, slice(k, begin, keys), slice(v, begin, keys), inf_safe, true};
  if (!task.plan.unpacked) {
    block.inf_safe &=
        kernels.pack_b_transposed(block.k, packed_keys(task.scratch, task.plan, problem.shape));
    block.finite = kernels.pack_b(block.v, packed_values(task.scratch, task.plan, problem.shape));
  }
  const bool fresh = states.enter(begin);
  const int rows = task.plan.q_inner * task.plan.tile_shape.mr;
  for (int row = 0; row < task.rows.count(); row += rows) {
    if (fresh) states.clear_rows(row, rows);
    attend_tiles(task, states.state(), row, block, map, panel);
  }
}

// The rows of a task against the keys [first, last), which begin with a KV split.
template <class T, class M, class S>
void attend_keys(const FlashTask<T, M, S>& task, Index first, Index last) {
  const bool inf_safe = load_queries(task);
  SplitStates<T, M, S> states(task);
  for_each_live_block(task, first, last, [&](int begin, int keys, const BlockMask& map, int panel) {
    attend_block(task, states, begin, keys, map, panel, inf_safe);
  });
  states.finish();
}

// Sums of values near the largest number overflow where their mean does not: such rows once more,
// under smaller weights. Values that are NaN or infinite take this way too.
template <class T, class M, class S>
[[gnu::noinline, gnu::cold]] void attend_again(const FlashTask<T, M, S>& task) {
  Problem<T> problem = task.problem;
  problem.weights.data = nullptr;
  const FlashTask<T, M, S> again{
      problem,      task.mask, task.score,   task.plan,
      task.kernels, task.rows, task.scratch, shrink_of<Accum<T>>(problem.shape.Lk)};
  attend_keys(again, 0, problem.shape.Lk);
  rewrite_rows(again);
}

template <class T, class M, class S>
void finish_task(const FlashTask<T, M, S>& task) {
  if (!store_output(task)) attend_again(task);
}

// Every task, on `plan.workers` workers that share nothing. A row's keys are cut at multiples of
// plan.split_keys and merged as a tree, so its bits depend on neither threads nor batch.
//
// Time O(B·Hq·Lq·Lk·(D + Dv)) over the tiles that are not Empty;
// scratch O(workers · (queries of a task + keys of a block) · (D + Dv)).
template <class T, class M, class S>
void flash_forward(const Problem<T>& problem, const M& mask, const S& score, const FlashPlan& plan,
                   const FlashKernels<T>& kernels, Executor* executor, std::byte* memory) {
  using R = Accum<T>;
  const Shape& shape = problem.shape;
  const Index bytes = flash_scratch_bytes<R>(shape, plan);
  Carver carver(memory);
  const RowStates<R> states = task_states<R>(carver, shape, plan);
  const Index key_tasks = plan.key_tasks();
  std::byte* scratch = memory + carver.used();
  const auto task_of = [&](Index task, int worker) {
    Carver own(scratch + worker * bytes);
    FlashTask<T, M, S> it{problem,
                          mask,
                          score,
                          plan,
                          kernels,
                          query_block_of(plan, shape, task),
                          FlashScratch<R>(own, shape, plan)};
    if (key_tasks > 1) it.scratch.state = states[task];
    return it;
  };
  parallel_for(plan.tasks, plan.workers, executor, [&](Index index, int worker) {
    const auto task = task_of(index, worker);
    const Index keys = plan.task_splits * plan.split_keys;
    const Index first = index % key_tasks * keys;
    attend_keys(task, first, std::min(first + keys, shape.Lk));
    if (key_tasks == 1) finish_task(task);
  });
  if (key_tasks == 1) return;
  parallel_for(plan.tasks / key_tasks, plan.workers, executor, [&](Index set, int worker) {
    combine_splits(states, kernels.packed.isa, set * key_tasks, key_tasks);
    finish_task(task_of(set * key_tasks, worker));
  });
}

}  // namespace HEED_ABI
}  // namespace heed
