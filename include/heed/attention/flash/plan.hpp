// The cut of a flash call: tasks of queries, KV blocks, KV splits.
#pragma once

#include <algorithm>
#include <bit>

#include "heed/attention/flash/query_block.hpp"
#include "heed/core/parallel.hpp"
#include "heed/simd/gemm/packed.hpp"

namespace heed {

struct FlashPlan {
  simd::TileShape tile_shape{};
  Index block = 0;  // keys that are packed together; the softmax goes on from block to block
  simd::TileShape value_shape = tile_shape;  // how values are packed
  int q_inner = 8;                           // row tiles of queries that sweep a block together
  int q_block = 1;                           // of one head in a task
  int heads_per_task = 1;                    // in a task
  Index q_blocks = 1;                        // tasks of `heads_per_task` heads, over the same keys
  Index split_keys = Index{1} << 62;  // of a KV split, which begins with a fresh softmax state
  Index splits = 1;                   // KV splits of the call, merged as a tree over their numbers
  Index task_splits = 1;              // KV splits of a task
  bool gathers = false;               // keys may come in several runs, which a KV block gathers
  bool unpacked = false;              // decoding: keys and values are not packed
  bool one_order = false;             // packed words are elements, so that sums have one order
  Index tasks = 0;
  int workers = 1;

  // Rows of a task, in whole row tiles.
  Index rows() const { return tile_shape.rows_in_tiles(Index{heads_per_task} * q_block); }
  // Scores of a query sub-block and a KV block.
  Index scores() const {
    return simd::ScoreTiles<float>::size(tile_shape, Index{q_inner} * tile_shape.mr, block);
  }
  // Tasks that share their queries: each has some of the KV splits.
  Index key_tasks() const { return (splits + task_splits - 1) / task_splits; }
  // Softmax states that wait for each other in the tree of splits, one for each of its levels.
  Index states() const {
    return static_cast<Index>(std::bit_width(static_cast<std::size_t>(splits - 1))) + 1;
  }
  // Keys whose tiles are asked for at once: whole splits, and a block mask that stays in cache.
  Index mask_window() const {
    constexpr Index keys = 8192;
    const Index unit = std::max<Index>(1, splits == 1 ? block : split_keys);
    return unit * std::max<Index>(1, keys / unit);
  }
  // Keys of the KV block that starts at `begin`: it ends where its split ends.
  Index block_keys(Index begin, Index end) const {
    const Index split_end = (begin / split_keys + 1) * split_keys;
    return std::min({block, split_end - begin, end - begin});
  }
};

inline namespace HEED_ABI {

// Keys whose packed form, and that of their values, stay in L2 while a task sweeps them: 64 KiB of
// each. 128 KiB are within 1 % (Zen 4); AMX takes four times as much, 3 to 5 % faster for bfloat16
// of D 128 (Xeon). It depends on the width alone, as the bits of the result do on it.
inline Index kv_block_keys(const Shape& shape, const simd::TileShape& tile_shape) {
  const Index widest = std::max<Index>({shape.D, shape.Dv, 1});
  const Index keys = std::clamp<Index>(
      tile_shape.kv_words * tile_shape.k_pack / (widest * tile_shape.splits), 64, 512);
  return std::min(tile_shape.columns_in_panels(keys), tile_shape.columns_in_panels(shape.Lk));
}

// Queries of a task: many, since each task packs its own keys (at 1024 queries that costs 2 %; 512
// take 1 to 2 % longer, 2048 as long, Zen 4), but few enough to give every worker several tasks.
// Results do not depend on it.
inline int q_block_queries(const Shape& shape, const simd::TileShape& tile_shape, int threads) {
  const Index heads = std::max<Index>(1, checked_product(shape.B, shape.Hq));
  Index wanted = 1024;
  while (threads > 1 && wanted > 48 && heads * ((shape.Lq + wanted - 1) / wanted) < 4 * threads) {
    wanted /= 2;
  }
  const Index parts = std::max<Index>(1, (shape.Lq + wanted - 1) / wanted);
  const Index even = tile_shape.rows_in_tiles((shape.Lq + parts - 1) / parts);
  return static_cast<int>(std::max<Index>(1, std::min(shape.Lq, even)));
}

// KV splits at fixed multiples of split_keys, whoever computes them: the bits of a row depend on
// neither threads nor batch, and rounding errors grow with the keys of a split alone. Clearing and
// merging states takes 0.3 to 0.5 % of a call (Zen 4, one thread, 1024 queries a task, D 64 and
// 128, 4096 and 16384 keys); splits of 1024 keys would take twice as much, and half the error.
[[gnu::noinline]] inline FlashPlan split_plan(const Shape& shape,
                                              const simd::TileShape& tile_shape) {
  FlashPlan plan{tile_shape, kv_block_keys(shape, tile_shape)};
  plan.split_keys = 2048;
  plan.splits = std::max<Index>(1, (shape.Lk + plan.split_keys - 1) / plan.split_keys);
  plan.task_splits = plan.splits;
  return plan;
}

// Few queries, as in decoding: one task has all that share a key head over one KV split, whatever
// else there is to do, so that many threads help with one long cache.
inline FlashPlan decode_plan(const Shape& shape, const simd::TileShape& tile_shape) {
  FlashPlan plan = split_plan(shape, tile_shape);
  plan.task_splits = 1;
  plan.q_block = static_cast<int>(shape.Lq);
  plan.heads_per_task = static_cast<int>(shape.group());
  plan.unpacked = true;
  plan.tasks = checked_product(checked_product(shape.B, shape.Hkv), plan.key_tasks());
  return plan;
}

// Few queries of many heads, as in latent attention: a task packs a KV split for up to 128 rows of
// a group. By heads alone every task would pack all keys, which takes as long as some 16 rows do.
// Each task keeps a state, so there are no more of them than the workers need.
inline void share_keys(FlashPlan& plan, const Shape& shape, int available) {
  constexpr Index rows = 128;
  Index heads = std::min<Index>(shape.group(), rows / shape.Lq);
  while (shape.group() % heads != 0) --heads;
  plan.heads_per_task = static_cast<int>(heads);
  plan.task_splits = 1;
  const Index sets = checked_product(shape.B, shape.Hq) / heads;
  while (plan.key_tasks() > 1 && sets * plan.key_tasks() > 4 * Index{available}) {
    plan.task_splits = std::min(2 * plan.task_splits, plan.splits);
  }
}

//   tile_shape  of the kernels for packed keys and values
//   unpacked    of the kernels for decoding
//   contiguous  true where keys and values are contiguous in their last dimension
inline FlashPlan flash_plan(const Shape& shape, const simd::TileShape& tile_shape,
                            const simd::TileShape& unpacked, bool contiguous, int threads,
                            const Executor* executor) {
  // Rows of a key head that are not packed: with a limit of 8, four drafted tokens of groups of 4
  // take 1.14 times as long (Xeon, AVX-512 and AVX2; 1.35 beside AMX tiles).
  constexpr Index few = 16;
  // Short sequences take the packed path, so a text gives the same bits alone as padded in a batch.
  constexpr Index long_enough = 64;
  const int available = worker_count(Index{1} << 30, threads, executor);
  if (contiguous && shape.Lk >= long_enough && shape.Lq > 0 && shape.group() > 0 &&
      shape.Lq <= few / shape.group()) {
    FlashPlan plan = decode_plan(shape, unpacked);
    plan.workers = worker_count(plan.tasks, threads, executor);
    return plan;
  }
  FlashPlan plan = split_plan(shape, tile_shape);
  plan.q_inner = std::min(8, 64 / tile_shape.mr);
  plan.q_block = q_block_queries(shape, tile_shape, available);
  plan.q_blocks = (shape.Lq + plan.q_block - 1) / plan.q_block;
  const Index all_heads = checked_product(shape.B, shape.Hq);
  if (plan.splits > 1 && shape.Lq > 0 && shape.Lq <= few && shape.group() > 1) {
    share_keys(plan, shape, available);
  } else if (plan.q_blocks == 1 && shape.group() > 1) {
    const Index room = std::clamp<Index>(512 / plan.q_block, 1, max_task_heads);
    const Index fair = available == 1 ? room : all_heads / (4 * available);
    plan.heads_per_task =
        static_cast<int>(std::clamp<Index>(fair, 1, std::min(room, shape.group())));
    while (shape.group() % plan.heads_per_task != 0) --plan.heads_per_task;
  }
  plan.tasks = checked_product(checked_product(all_heads / plan.heads_per_task, plan.q_blocks),
                               plan.key_tasks());
  plan.workers = worker_count(plan.tasks, threads, executor);
  return plan;
}

// The queries of a task. Late queries see most keys under a causal mask: they come first.
inline QueryBlock query_block_of(const FlashPlan& plan, const Shape& shape, Index task) {
  task /= plan.key_tasks();
  const Index head_sets = shape.Hq / plan.heads_per_task;
  const Index sets = shape.B * head_sets;
  const Index tile = plan.q_blocks - 1 - task / sets;
  const auto q_begin = static_cast<int>(tile * plan.q_block);
  return {task % sets / head_sets, task % head_sets * plan.heads_per_task, plan.heads_per_task,
          q_begin, static_cast<int>(std::min<Index>(plan.q_block, shape.Lq - q_begin))};
}

}  // namespace HEED_ABI
}  // namespace heed
