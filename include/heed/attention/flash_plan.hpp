// How a flash call is cut: into tasks of queries, blocks of keys, strips of query groups.
#pragma once

#include <algorithm>

#include "heed/attention/query_rows.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/simd/strip.hpp"

namespace heed {

struct FlashPlan {
  simd::Geometry cell{};
  Index block = 0;      // keys that are packed together; the softmax goes on from block to block
  int strip = 8;        // groups of queries that sweep a block together
  int queries = 1;      // of one head in a task
  int heads = 1;        // in a task
  Index tiles = 1;      // tasks of a head, or of `heads` heads, over each span
  Index spans = 1;      // pieces that the keys are cut into; their results are merged in order
  Index span = 0;       // keys of a piece
  bool direct = false;  // keys and values are read where they lie, not packed
  Index tasks = 0;
  int workers = 1;

  // Rows of a task, in whole groups.
  Index rows() const { return cell.groups(Index{heads} * queries) * cell.rows; }
  // Keys whose cells are asked for at once: whole blocks, and a map of cells that stays in cache.
  Index stretch() const { return block * std::max<Index>(1, 8192 / std::max<Index>(1, block)); }
};

// What one worker needs for a task. R is the type of sums.
template <class R>
struct FlashScratch {
  R* q;
  R* kt;
  R* v;
  R* scores;
  R* weights;  // of two groups as the products of tiles take them
  R* acc;
  R* max;
  R* sum;
  std::uint8_t* cells;  // [groups, panels of a stretch of keys], mask::Coverage
  std::uint8_t* live;   // [groups of a strip, panels of a block], the same
  std::uint8_t* seen;   // as scores; written only where values are not finite

  [[gnu::always_inline]] FlashScratch(Carver& carver, const Shape& shape, const FlashPlan& plan)
      : q(carver.array<R>(checked_product(plan.rows(), plan.cell.numbers(shape.D)))),
        kt(carver.array<R>(checked_product(plan.cell.numbers(shape.D), plan.block))),
        v(carver.array<R>(
            checked_product(plan.cell.columns(shape.Dv), plan.cell.numbers(plan.block)))),
        scores(carver.array<R>(checked_product(Index{plan.strip} * plan.cell.rows, plan.block))),
        weights(carver.array<R>(plan.cell.unit > 1 ? simd::weights_at_once : 0)),
        acc(carver.array<R>(checked_product(plan.rows(), plan.cell.columns(shape.Dv)))),
        max(carver.array<R>(plan.rows())),
        sum(carver.array<R>(plan.rows())),
        cells(carver.array<std::uint8_t>(checked_product(
            plan.cell.groups(plan.rows()), plan.cell.panels(std::min(plan.stretch(), shape.Lk))))),
        live(carver.array<std::uint8_t>(checked_product(plan.strip, plan.cell.panels(plan.block)))),
        seen(carver.array<std::uint8_t>(
            checked_product(Index{plan.strip} * plan.cell.rows, plan.block))) {}
};

// What is left of each task's rows where the keys of a row are cut into several spans.
template <class R>
struct FlashPartials {
  Index rows;
  Index columns;
  R* acc = nullptr;
  R* max = nullptr;
  R* sum = nullptr;

  [[gnu::always_inline]] FlashPartials(Carver& carver, const Shape& shape, const FlashPlan& plan)
      : rows(plan.rows()), columns(plan.cell.columns(shape.Dv)) {
    if (plan.spans == 1) return;
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

// Keys whose packed form, and that of their values, stay in the second cache while a task sweeps
// them. It depends on the width alone, as the bits of the result do on it.
inline Index flash_block(const Shape& shape, const simd::Geometry& cell) {
  const Index numbers = cell.unit > 1 ? 65536 : 16384;  // machines with tiles have 2 MiB
  const Index widest = std::max<Index>({shape.D, shape.Dv, 1});
  const Index keys = std::clamp<Index>(numbers * cell.depth / (widest * cell.parts), 64, 512);
  return std::min(cell.panels(keys), cell.panels(shape.Lk)) * cell.panel;
}

// Queries of a task: many, since each task packs its keys anew (1024 queries hide that at 2 %), but
// few enough to give every worker several tasks. Results do not depend on it.
inline int flash_queries(const Shape& shape, const simd::Geometry& cell, int threads) {
  const Index heads = std::max<Index>(1, checked_product(shape.B, shape.Hq));
  Index wanted = 1024;
  while (threads > 1 && wanted > 48 && heads * ((shape.Lq + wanted - 1) / wanted) < 4 * threads) {
    wanted /= 2;
  }
  const Index parts = std::max<Index>(1, (shape.Lq + wanted - 1) / wanted);
  const Index even = cell.groups((shape.Lq + parts - 1) / parts) * cell.rows;
  return static_cast<int>(std::max<Index>(1, std::min(shape.Lq, even)));
}

// Few queries, as in decoding: one task has all that share a key head, and keys are cut into spans
// whatever else there is to do, so that many threads help with one long cache.
inline FlashPlan decode_plan(const Shape& shape, const simd::Geometry& cell) {
  constexpr Index span = 2048;
  FlashPlan plan{cell, flash_block(shape, cell)};
  plan.queries = static_cast<int>(shape.Lq);
  plan.heads = static_cast<int>(shape.group());
  plan.spans = std::max<Index>(1, (shape.Lk + span - 1) / span);
  plan.span = span;
  plan.direct = true;
  plan.tasks = checked_product(checked_product(shape.B, shape.Hkv), plan.spans);
  return plan;
}

//   cell, direct  of the kernels that pack keys and of those that read them where they lie
//   contiguous    whether keys and values are so in their last dimension
inline FlashPlan flash_plan(const Shape& shape, const simd::Geometry& cell,
                            const simd::Geometry& direct, bool contiguous, int threads,
                            const Executor* executor) {
  // Below `long_enough` keys there is little to read. So a short text alone in its batch, which has
  // few queries too, takes the path, and gets the bits, that it has padded to a longer one.
  constexpr Index few = 16;
  constexpr Index long_enough = 64;
  const int available = worker_count(Index{1} << 30, threads, executor);
  if (contiguous && shape.Lk >= long_enough && shape.Lq > 0 && shape.group() > 0 &&
      shape.Lq <= few / shape.group()) {
    FlashPlan plan = decode_plan(shape, direct);
    plan.workers = worker_count(plan.tasks, threads, executor);
    return plan;
  }
  FlashPlan plan{cell, flash_block(shape, cell)};
  if (cell.rows > 8) plan.strip = 4;
  plan.span = shape.Lk;
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
  task /= plan.spans;
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

template <class R>
Index flash_partials_bytes(const Shape& shape, const FlashPlan& plan) {
  Carver counter(nullptr);
  FlashPartials<R>(counter, shape, plan);
  return static_cast<Index>(counter.used());
}

// Of all workers together.
template <class R>
Index flash_workspace_bytes(const Shape& shape, const FlashPlan& plan) {
  return checked_sum(flash_partials_bytes<R>(shape, plan),
                     checked_product(flash_scratch_bytes<R>(shape, plan), plan.workers));
}

}  // namespace HEED_ABI
}  // namespace heed
