// The cut of a flash call: tasks of queries, KV blocks, KV splits.
#pragma once

#include <algorithm>

#include "heed/attention/flash/query_block.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/simd/gemm/packed.hpp"

namespace heed {

struct FlashPlan {
  simd::TileShape tile_shape{};
  Index block = 0;         // keys that are packed together; the softmax goes on from block to block
  int q_inner = 8;         // row tiles of queries that sweep a block together
  int q_block = 1;         // of one head in a task
  int heads_per_task = 1;  // in a task
  Index q_blocks = 1;      // tasks of `heads_per_task` heads, over each split
  Index splits = 1;        // pieces that the keys are cut into; their results are merged in order
  Index split_keys = 0;    // keys of a piece
  bool unpacked = false;   // decoding: keys and values are not packed
  Index tasks = 0;
  int workers = 1;

  // Rows of a task, in whole row tiles.
  Index rows() const { return tile_shape.m_tiles(Index{heads_per_task} * q_block) * tile_shape.mr; }
  // Scores of a query sub-block and a KV block.
  Index scores() const {
    return simd::ScoreTiles<float>::size(tile_shape, Index{q_inner} * tile_shape.mr, block);
  }
  // Keys whose tiles are asked for at once: whole blocks, and a map of tiles that stays in cache.
  Index mask_window() const { return block * std::max<Index>(1, 8192 / std::max<Index>(1, block)); }
};

// Scratch of one worker. R is the type of sums.
template <class R>
struct FlashScratch {
  R* q;
  R* kt;
  R* v;
  R* scores;
  R* packed_p;  // where the products pack p
  R* acc;
  R* max;
  R* sum;
  std::uint8_t* block_mask;  // [row tiles, panels of a mask window of keys], mask::Coverage
  std::uint8_t* coverage;    // [row tiles of a query sub-block, panels of a block], the same
  std::uint8_t* unmasked;    // as scores; written only where values are not finite

  [[gnu::always_inline]] FlashScratch(Carver& carver, const Shape& shape, const FlashPlan& plan)
      : q(carver.array<R>(simd::PackedA<R>::size(plan.tile_shape, plan.rows(), shape.D))),
        kt(carver.array<R>(simd::PackedB<R>::size(plan.tile_shape, shape.D, plan.block))),
        v(carver.array<R>(simd::PackedB<R>::size(plan.tile_shape, plan.block,
                                                 plan.tile_shape.columns(shape.Dv)))),
        scores(carver.array<R>(plan.scores())),
        packed_p(carver.array<R>(plan.tile_shape.packed_p)),
        acc(carver.array<R>(simd::Accumulator<R>::size(plan.tile_shape, plan.rows(),
                                                       plan.tile_shape.columns(shape.Dv)))),
        max(carver.array<R>(plan.rows())),
        sum(carver.array<R>(plan.rows())),
        block_mask(carver.array<std::uint8_t>(
            checked_product(plan.tile_shape.m_tiles(plan.rows()),
                            plan.tile_shape.panels(std::min(plan.mask_window(), shape.Lk))))),
        coverage(carver.array<std::uint8_t>(
            checked_product(plan.q_inner, plan.tile_shape.panels(plan.block)))),
        unmasked(carver.array<std::uint8_t>(plan.scores())) {}
};

// (m, l, o) of each task's rows where the keys are cut into several splits.
template <class R>
struct SplitState {
  Index rows;
  Index columns;
  R* acc = nullptr;
  R* max = nullptr;
  R* sum = nullptr;

  [[gnu::always_inline]] SplitState(Carver& carver, const Shape& shape, const FlashPlan& plan)
      : rows(plan.rows()), columns(plan.tile_shape.columns(shape.Dv)) {
    if (plan.splits == 1) return;
    const Index all_rows = checked_product(plan.tasks, rows);
    acc = carver.array<R>(checked_product(all_rows, columns));
    max = carver.array<R>(all_rows);
    sum = carver.array<R>(all_rows);
  }

  // Scratch whose rows are those of a task.
  FlashScratch<R> of(Index task, FlashScratch<R> scratch) const {
    if (acc == nullptr) return scratch;
    scratch.acc = acc + task * rows * columns;
    scratch.max = max + task * rows;
    scratch.sum = sum + task * rows;
    return scratch;
  }
};

inline namespace HEED_ABI {

// Keys whose packed form, and that of their values, stay in L2 while a task sweeps
// them. It depends on the width alone, as the bits of the result do on it.
inline Index kv_block_keys(const Shape& shape, const simd::TileShape& tile_shape) {
  const Index widest = std::max<Index>({shape.D, shape.Dv, 1});
  const Index keys = std::clamp<Index>(
      tile_shape.kv_words * tile_shape.k_pack / (widest * tile_shape.splits), 64, 512);
  return std::min(tile_shape.panels(keys), tile_shape.panels(shape.Lk)) * tile_shape.nr;
}

// Queries of a task: many, since each task packs its own keys (at 1024 queries that costs 2 %), but
// few enough to give every worker several tasks. Results do not depend on it.
inline int q_block_queries(const Shape& shape, const simd::TileShape& tile_shape, int threads) {
  const Index heads = std::max<Index>(1, checked_product(shape.B, shape.Hq));
  Index wanted = 1024;
  while (threads > 1 && wanted > 48 && heads * ((shape.Lq + wanted - 1) / wanted) < 4 * threads) {
    wanted /= 2;
  }
  const Index parts = std::max<Index>(1, (shape.Lq + wanted - 1) / wanted);
  const Index even = tile_shape.m_tiles((shape.Lq + parts - 1) / parts) * tile_shape.mr;
  return static_cast<int>(std::max<Index>(1, std::min(shape.Lq, even)));
}

// Few queries, as in decoding: one task has all that share a key head, and keys are cut into splits
// whatever else there is to do, so that many threads help with one long cache.
inline FlashPlan decode_plan(const Shape& shape, const simd::TileShape& tile_shape) {
  constexpr Index split_keys = 2048;
  FlashPlan plan{tile_shape, kv_block_keys(shape, tile_shape)};
  plan.q_block = static_cast<int>(shape.Lq);
  plan.heads_per_task = static_cast<int>(shape.group());
  plan.splits = std::max<Index>(1, (shape.Lk + split_keys - 1) / split_keys);
  plan.split_keys = split_keys;
  plan.unpacked = true;
  plan.tasks = checked_product(checked_product(shape.B, shape.Hkv), plan.splits);
  return plan;
}

//   tile_shape  of the kernels for packed keys and values
//   unpacked    of the kernels for decoding
//   contiguous  true where keys and values are contiguous in their last dimension
inline FlashPlan flash_plan(const Shape& shape, const simd::TileShape& tile_shape,
                            const simd::TileShape& unpacked, bool contiguous, int threads,
                            const Executor* executor) {
  // Short sequences take the packed path, so a text gives the same bits alone as padded in a batch.
  constexpr Index few = 16;
  constexpr Index long_enough = 64;
  const int available = worker_count(Index{1} << 30, threads, executor);
  if (contiguous && shape.Lk >= long_enough && shape.Lq > 0 && shape.group() > 0 &&
      shape.Lq <= few / shape.group()) {
    FlashPlan plan = decode_plan(shape, unpacked);
    plan.workers = worker_count(plan.tasks, threads, executor);
    return plan;
  }
  FlashPlan plan{tile_shape, kv_block_keys(shape, tile_shape)};
  plan.q_inner = std::min(8, 64 / tile_shape.mr);
  plan.split_keys = shape.Lk;
  plan.q_block = q_block_queries(shape, tile_shape, available);
  plan.q_blocks = (shape.Lq + plan.q_block - 1) / plan.q_block;
  const Index all_heads = checked_product(shape.B, shape.Hq);
  if (plan.q_blocks == 1 && shape.group() > 1) {
    const Index room = std::max<Index>(1, 512 / plan.q_block);
    const Index fair = available == 1 ? room : all_heads / (4 * available);
    plan.heads_per_task =
        static_cast<int>(std::clamp<Index>(fair, 1, std::min(room, shape.group())));
    while (shape.group() % plan.heads_per_task != 0) --plan.heads_per_task;
  }
  plan.tasks = checked_product(all_heads / plan.heads_per_task, plan.q_blocks);
  plan.workers = worker_count(plan.tasks, threads, executor);
  return plan;
}

// The queries of a task. Late queries see most keys under a causal mask: they come first.
inline QueryBlock query_block_of(const FlashPlan& plan, const Shape& shape, Index task) {
  task /= plan.splits;
  const Index head_sets = shape.Hq / plan.heads_per_task;
  const Index sets = shape.B * head_sets;
  const Index tile = plan.q_blocks - 1 - task / sets;
  const auto q_begin = static_cast<int>(tile * plan.q_block);
  return {task % sets / head_sets, task % head_sets * plan.heads_per_task, plan.heads_per_task,
          q_begin, static_cast<int>(std::min<Index>(plan.q_block, shape.Lq - q_begin))};
}

template <class R>
Index flash_scratch_bytes(const Shape& shape, const FlashPlan& plan) {
  Carver counter(nullptr);
  FlashScratch<R>(counter, shape, plan);
  return static_cast<Index>(counter.used());
}

template <class R>
Index split_state_bytes(const Shape& shape, const FlashPlan& plan) {
  Carver counter(nullptr);
  SplitState<R>(counter, shape, plan);
  return static_cast<Index>(counter.used());
}

// Of all workers together.
template <class R>
Index flash_workspace_bytes(const Shape& shape, const FlashPlan& plan) {
  return checked_sum(split_state_bytes<R>(shape, plan),
                     checked_product(flash_scratch_bytes<R>(shape, plan), plan.workers));
}

}  // namespace HEED_ABI
}  // namespace heed
