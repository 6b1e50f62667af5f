// Exact attention in tiles; scores are never stored whole.
// Dao, "FlashAttention-2" (2023), Algorithm 1.
//
// A task holds a q block of up to 1024 queries. It packs a KV block, runs its row tiles over it,
// `q_inner` of them together, and goes on to the next KV block. Tiles that the mask calls Empty are
// skipped; KV blocks of such tiles are not packed.
#pragma once

#include <algorithm>

#include "heed/attention/flash/block_mask.hpp"
#include "heed/attention/flash/code_rows.hpp"
#include "heed/attention/flash/combine_splits.hpp"
#include "heed/attention/flash/kv_block.hpp"
#include "heed/attention/flash/score_epilogue.hpp"
#include "heed/attention/flash/store_output.hpp"
#include "heed/attention/flash/tile_args.hpp"
#include "heed/attention/flash/unpacked_products.hpp"
#include "heed/core/parallel.hpp"

namespace heed {

inline namespace HEED_ABI {

// Packs the queries of a task. False if the split products could turn an infinity in q into NaN.
template <class T, class M, class S>
bool load_queries(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const Problem<T>& problem = task.problem;
  const simd::PackedA<R>& q = task.scratch.q;
  const simd::PackedKernels<T>& kernels = task.kernels.packed;
  const R scale = kernels.folds_scale ? scale_steps(task).early : R(1);
  bool inf_safe = true;
  for_each_head_segment(task.rows, 0, task.rows.count(), [&](Index h, int row, int begin, int end) {
    inf_safe &= kernels.pack_a(slice(problem.q.matrix(task.rows.b, h), begin, end - begin), scale,
                               q.from_row(row));
  });
  std::fill(q.row(task.rows.count()), q.row(task.plan.rows()), R(0));
  return inf_safe;
}

// s = scale · q·kᵀ of the row tiles from first_m_tile on.
template <class T, class M, class S, class U>
void compute_scores(const FlashTask<T, M, S>& task, const TileArgs<Accum<T>>& tiles,
                    int first_m_tile, const KvBlock<U>& block) {
  if (block.codes.keys != nullptr) {
    multiply_keys(block.codes, tiles);
  } else if (task.plan.unpacked) {
    multiply_unpacked_keys(task, tiles, block);
  } else {
    task.kernels.packed.gemm.qk(tiles.q, tiles.kt, tiles.scores);
    if (!block.inf_safe) {
      recompute_nan_scores(task, tiles.scores, first_m_tile, block.begin, block.only_run().k);
    }
  }
  const auto late = scale_steps(task).late;
  if (late != Accum<T>(1)) scale_scores(task, tiles.scores, late);
}

// True where p·v reads finite values alone, or every row sees every key. Else marks the pairs that
// attend. Unpacked values are read once more only where a score of −inf may hide some.
template <class T, class M, class S, class U>
bool mark_unmasked(const FlashTask<T, M, S>& task, const simd::ScoreTiles<Accum<T>>& scores,
                   const KvBlock<U>& block) {
  if (block.codes.keys != nullptr) return true;
  bool finite = block.finite;
  if (task.plan.unpacked) {
    const simd::UnpackedKernels<U>& kernels = unpacked_kernels_of<U>(task.kernels);
    finite = kernels.all_unmasked(scores);
    if (!finite) {
      finite = true;
      for_each_values(task, block,
                      [&](Index, const View<const U, 2>& v) { finite &= kernels.all_finite(v); });
    }
  }
  const Index count = finite ? 0 : scores.tiles() * scores.tile_size();
  for (Index n = 0; n < count; ++n) task.scratch.unmasked[n] = !is_masked(scores.data[n]);
  return finite;
}

// Between the softmax and p·v: weights are made smaller, stored or dropped.
template <class T, class M, class S, class U>
void modify_weights(const FlashTask<T, M, S>& task, const TileArgs<Accum<T>>& tiles,
                    int first_m_tile, const KvBlock<U>& block) {
  if (task.shrink != Accum<T>(1)) shrink_weights(tiles.scores, task.shrink);
  if (task.problem.weights.data != nullptr) store_weights(task, tiles, first_m_tile);
  if (task.problem.dropout.active()) drop_weights(task, tiles.scores, first_m_tile, block.begin);
}

// o += p·v. NaN and infinity do not reach rows that do not see their key.
template <class T, class M, class S, class U>
void accumulate_output(const FlashTask<T, M, S>& task, const TileArgs<Accum<T>>& tiles,
                       const KvBlock<U>& block, bool finite) {
  const simd::PackedKernels<T>& kernels = task.kernels.values;
  if (block.codes.values != nullptr) {
    multiply_values(block.codes, tiles);
  } else if (!finite) {
    if (task.plan.unpacked) pack_v(task, block);
    kernels.gemm.pv_masked(tiles.scores, tiles.v, task.scratch.unmasked, tiles.state.acc);
  } else if (task.plan.unpacked) {
    multiply_unpacked_values(task, tiles, block);
  } else {
    kernels.gemm.pv(tiles.scores, tiles.v, tiles.state.acc);
  }
}

// Algorithm 1, lines 8 to 10: a query sub-block attends to a KV block.
//   seen  coverage of all tiles together
template <class T, class M, class S, class U>
void attend_tiles(const FlashTask<T, M, S>& task, const TileArgs<Accum<T>>& tiles, int first_m_tile,
                  const KvBlock<U>& block, mask::Coverage seen) {
  compute_scores(task, tiles, first_m_tile, block);                     // s = q·kᵀ
  apply_epilogue(task, tiles.scores, first_m_tile, block.begin, seen);  // s = mask(modify(s))
  const bool finite = mark_unmasked(task, tiles.scores, block);         // 0·inf is not 0
  task.kernels.packed.softmax(tiles.scores, tiles.state);               // p = e^(s − m); m, l, o
  modify_weights(task, tiles, first_m_tile, block);                     // p = dropout(p)
  accumulate_output(task, tiles, block, finite);                        // o += p·v
}

// Algorithm 1, line 6: every query sub-block of a task meets a KV block, whose tiles start at panel
// `panel` of the block mask.
template <class T, class M, class S, class U>
void attend_block(const FlashTask<T, M, S>& task, SplitStates<T, M, S>& states,
                  const KvBlock<U>& block, const BlockMask& map, int panel) {
  const int rows = task.plan.q_inner * task.plan.tile_shape.mr;
  const bool fresh = states.enter(block.begin);
  for (int row = 0; row < task.rows.count(); row += rows) {
    if (fresh) states.clear_rows(row, rows);
    const int queries = std::min(rows, task.rows.count() - row);
    const int tile = task.plan.tile_shape.tile_of(row);
    auto tiles = make_tile_args(task.scratch, states.state(), row, queries, block.keys);
    tiles.kt.data = block.packed_keys;
    if (!task.kernels.packed.folds_scale) tiles.q.scale = scale_steps(task).early;
    const simd::ScoreTiles<Accum<T>>& scores = tiles.scores;
    const mask::Coverage seen =
        map.copy(tile, scores.m_tiles, panel, scores.panels, task.scratch.coverage);
    if (seen == mask::Coverage::Empty) continue;  // whose weights, if asked for, are 0 already
    attend_tiles(task, tiles, tile, block, seen);
  }
}

// The rows of a task against the keys [first, last), which begin with a KV split.
//   U  of the keys' elements
template <class U, class T, class M, class S, class Kv>
void attend_keys(const FlashTask<T, M, S>& task, const Kv& kv, Index first, Index last) {
  const bool inf_safe = load_queries(task);
  if constexpr (kv::CodeSource<Kv>) prepare_queries(task, kv);
  SplitStates<T, M, S> states(task);
  KvBlock<U> block;
  block.last = last;
  if constexpr (kv::PanelSource<Kv, U> || kv::CodeSource<Kv>) {
    block.of_panels = &simd::panel_kernels<U>(task.kernels.packed.isa);
  }
  for_each_live_block(task, first, last, [&](int begin, int keys, const BlockMask& map, int panel) {
    load_kv(task, kv, begin, keys, inf_safe, block);
    attend_block(task, states, block, map, panel);
  });
  states.finish();
}

// Sums of values near the largest number overflow where their mean does not: such rows once more,
// under smaller weights. Values that are NaN or infinite take this way too.
template <class U, class T, class M, class S, class Kv>
[[gnu::noinline, gnu::cold]] void attend_again(const FlashTask<T, M, S>& task, const Kv& kv,
                                               Index length) {
  Problem<T> problem = task.problem;
  problem.weights.data = nullptr;
  const FlashTask<T, M, S> again{problem,   task.heads,   task.plan,  task.kernels,
                                 task.rows, task.scratch, task.state, shrink_of<Accum<T>>(length)};
  attend_keys<U>(again, kv, 0, length);
  if constexpr (kv::CodeSource<Kv>) rotate_output(again, kv);
  rewrite_rows(again);
}

// Every task, on `plan.workers` workers that share nothing. A row's keys are cut at multiples of
// plan.split_keys and merged as a tree, so its bits depend on neither threads nor batch.
//   source  of keys and values; problem.k and problem.v are not looked at
//
// Time O(B·Hq·Lq·Lk·(D + Dv)) over the tiles that are not Empty;
// scratch O(workers · (queries of a task · log(Lk) + keys of a block) · (D + Dv)), and where tasks
// share the keys O(tasks · queries of a task · Dv).
template <class T, class M, class S, class K>
requires kv::Source<K, kv::ElementOf<K, T>>
void flash_forward(const Problem<T>& problem, const K& source, const M& mask, const S& score,
                   const FlashPlan& plan, const FlashKernels<T>& kernels, Executor* executor,
                   std::byte* memory) {
  using R = Accum<T>;
  using U = kv::ElementOf<K, T>;
  const Shape& shape = problem.shape;
  const Index bytes = flash_scratch_bytes<R>(shape, plan);
  Carver carver(memory);
  const SharedStates<R> shared = shared_states<R>(carver, shape, plan);
  shared.start(plan);
  const Index key_tasks = plan.key_tasks();
  std::byte* scratch = memory + carver.used();
  const auto scratch_of = [&](int worker) {
    Carver own(scratch + worker * bytes);
    return flash_scratch<R>(own, shape, plan);
  };
  const auto run_task = [&](Index index, const FlashScratch<R>& own) {
    const QueryBlock rows = query_block_of(plan, shape, index);
    const Shape entry = kv::shape_of_entry(source, shape, rows.b);
    FlashTask<T, M, S> task{problem,
                            {mask, score, entry, rows},
                            plan,
                            kernels,
                            rows,
                            own,
                            key_tasks > 1 ? shared.states[index] : own.state};
    const auto kv = source.bind(shape, rows.b, task.kv_head());
    const Index length = source.length(rows.b), keys = plan.task_splits * plan.split_keys;
    const Index first = index % key_tasks * keys;
    attend_keys<U>(task, kv, first, std::min(first + keys, length));
    if (key_tasks > 1) {
      if (!shared.is_last(index, key_tasks)) return;
      task.state = combine_splits(shared.states, kernels.packed.isa, index, key_tasks);
    }
    if constexpr (kv::CodeSource<std::remove_cvref_t<decltype(kv)>>) rotate_output(task, kv);
    if (!store_output(task)) attend_again<U>(task, kv, length);
  };
  parallel_for(plan.tasks, plan.workers, executor, scratch_of, run_task);
}

}  // namespace HEED_ABI
}  // namespace heed
