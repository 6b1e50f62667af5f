// How a flash call is cut: into tasks of queries, blocks of keys, strips of query groups.
#pragma once

#include <algorithm>

#include "heed/attention/query_rows.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/simd/strip.hpp"

namespace heed {

struct FlashPlan {
  simd::Geometry cell;
  Index block;  // keys that are packed together; the softmax goes on from block to block
  int strip;    // groups of queries that sweep a block together
  int queries;  // of one head in a task
  int heads;    // in a task
  Index tiles;  // tasks of a head, or of `heads` heads
  Index tasks;
  int workers = 1;

  // Rows of a task, in whole groups.
  Index rows() const { return cell.groups(Index{heads} * queries) * cell.rows; }
};

// What one worker needs for a task. R is the type of sums.
template <class R>
struct FlashScratch {
  R* q;
  R* kt;
  R* v;
  R* scores;
  R* acc;
  R* max;
  R* sum;
  std::uint8_t* live;
  std::uint8_t* seen;  // as scores; written only where values are not finite

  FlashScratch(Carver& carver, const Shape& shape, const FlashPlan& plan)
      : q(carver.array<R>(checked_product(plan.rows(), shape.D))),
        kt(carver.array<R>(checked_product(shape.D, plan.block))),
        v(carver.array<R>(checked_product(plan.cell.columns(shape.Dv), plan.block))),
        scores(carver.array<R>(checked_product(Index{plan.strip} * plan.cell.rows, plan.block))),
        acc(carver.array<R>(checked_product(plan.rows(), plan.cell.columns(shape.Dv)))),
        max(carver.array<R>(plan.rows())),
        sum(carver.array<R>(plan.rows())),
        live(carver.array<std::uint8_t>(checked_product(plan.strip, plan.cell.panels(plan.block)))),
        seen(carver.array<std::uint8_t>(
            checked_product(Index{plan.strip} * plan.cell.rows, plan.block))) {}
};

inline namespace HEED_ABI {

// Keys whose packed form, and that of their values, stay in the second cache while a task sweeps
// them. It depends on the width alone, as the bits of the result do on it.
inline Index flash_block(const Shape& shape, const simd::Geometry& cell, int bytes) {
  constexpr Index packed_bytes = 64 * 1024;
  const Index widest = std::max<Index>({shape.D, shape.Dv, 1});
  const Index keys = std::clamp<Index>(packed_bytes / (widest * bytes), 64, 512);
  return std::min(cell.panels(keys), cell.panels(shape.Lk)) * cell.panel;
}

// Queries of a task: many, since each task packs its keys anew (512 queries hide that at 1 %), but
// few enough to give every worker several tasks. Results do not depend on it.
inline int flash_queries(const Shape& shape, const simd::Geometry& cell, int threads) {
  const Index heads = std::max<Index>(1, checked_product(shape.B, shape.Hq));
  Index wanted = 512;
  while (threads > 1 && wanted > 48 && heads * ((shape.Lq + wanted - 1) / wanted) < 4 * threads) {
    wanted /= 2;
  }
  const Index parts = std::max<Index>(1, (shape.Lq + wanted - 1) / wanted);
  const Index even = cell.groups((shape.Lq + parts - 1) / parts) * cell.rows;
  return static_cast<int>(std::max<Index>(1, std::min(shape.Lq, even)));
}

inline FlashPlan flash_plan(const Shape& shape, const simd::Geometry& cell, int bytes, int threads,
                            const Executor* executor) {
  FlashPlan plan{cell, flash_block(shape, cell, bytes), 8, 0, 1, 0, 0, 1};
  const int available = worker_count(Index{1} << 30, threads, executor);
  plan.queries = flash_queries(shape, cell, available);
  plan.tiles = (shape.Lq + plan.queries - 1) / plan.queries;
  const Index all_heads = checked_product(shape.B, shape.Hq);
  if (plan.tiles == 1 && shape.group() > 1) {
    const Index room = std::max<Index>(1, 512 / plan.queries);
    const Index fair = available == 1 ? room : all_heads / (4 * available);
    plan.heads = static_cast<int>(std::clamp<Index>(fair, 1, std::min(room, shape.group())));
    while (shape.group() % plan.heads != 0) --plan.heads;
  }
  plan.tasks = checked_product(all_heads / plan.heads, plan.tiles);
  plan.workers = worker_count(plan.tasks, threads, executor);
  return plan;
}

// The queries of a task. Late queries see most keys under a causal mask: they come first.
inline QueryRows flash_rows(const FlashPlan& plan, const Shape& shape, Index task) {
  const Index head_sets = shape.Hq / plan.heads;
  const Index sets = shape.B * head_sets;
  const Index tile = plan.tiles - 1 - task / sets;
  const auto q_begin = static_cast<int>(tile * plan.queries);
  return {task % sets / head_sets, task % head_sets * plan.heads, plan.heads, q_begin,
          static_cast<int>(std::min<Index>(plan.queries, shape.Lq - q_begin))};
}

template <class R>
Index flash_scratch_bytes(const Shape& shape, const FlashPlan& plan) {
  Carver counter(nullptr);
  FlashScratch<R>(counter, shape, plan);
  return static_cast<Index>(counter.used());
}

}  // namespace HEED_ABI
}  // namespace heed
