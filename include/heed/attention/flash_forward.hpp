// Exact attention in tiles: scores live in scratch, a strip at a time, and are never stored whole.
// Dao, "FlashAttention-2" (2023), Algorithm 1.
//
// A task is some hundred queries. It packs a block of keys and values, lets strip after strip of
// its queries sweep it, and goes on to the next block. Cells (a few queries × a few keys) that the
// mask calls Empty are not computed, blocks of them not even packed.
#pragma once

#include <algorithm>

#include "heed/attention/cell_map.hpp"
#include "heed/attention/flash_cells.hpp"
#include "heed/attention/merge_spans.hpp"
#include "heed/attention/write_rows.hpp"
#include "heed/core/parallel.hpp"

namespace heed {

inline namespace HEED_ABI {

// Returns whether dots may be trusted with them, finite or not.
template <class T, class M, class S>
bool load_queries(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const Problem<T>& problem = task.problem;
  const FlashScratch<R>& scratch = task.scratch;
  const R scale = task.plan.cell.exact() ? scale_steps(task).early : R(1);
  const Index numbers = task.plan.cell.numbers(problem.shape.D);
  bool sure = true;
  for_each_stretch(task.rows, 0, task.rows.count(), [&](Index h, int row, int begin, int end) {
    sure &= task.kernels().load_rows(slice(problem.q.matrix(task.rows.b, h), begin, end - begin),
                                     end - begin, scale, scratch.q + row * numbers);
  });
  std::fill(scratch.q + task.rows.count() * numbers, scratch.q + task.plan.rows() * numbers, R(0));
  std::fill_n(scratch.acc, task.plan.rows() * task.plan.cell.columns(problem.shape.Dv), R(0));
  std::fill_n(scratch.max, task.plan.rows(), softmax::Row<R>{}.max);
  std::fill_n(scratch.sum, task.plan.rows(), R(0));
  return sure;
}

// A block of keys, packed in scratch or where it lies.
template <class T>
struct FlashBlock {
  int begin, keys;
  View<const T, 2> k, v;
  bool sure;    // whether dots may be trusted, whatever is not finite
  bool finite;  // whether all its values are, or none is behind a mask
};

template <class R>
simd::Strip<R> make_strip(const FlashScratch<R>& scratch, const FlashPlan& plan, const Shape& shape,
                          int row, int queries, int keys) {
  simd::Strip<R> strip;
  strip.queries = queries;
  strip.groups = static_cast<int>(plan.cell.groups(queries));
  strip.panels = static_cast<int>(plan.cell.panels(keys));
  strip.keys = keys;
  strip.D = shape.D;
  strip.columns = plan.cell.columns(shape.Dv);
  strip.capacity = plan.block;
  strip.q = scratch.q + row * plan.cell.numbers(shape.D);
  strip.kt = scratch.kt;
  strip.v = scratch.v;
  strip.live = scratch.live;
  strip.scores = scratch.scores;
  strip.acc = scratch.acc + row * strip.columns;
  strip.max = scratch.max + row;
  strip.sum = scratch.sum + row;
  strip.weights = scratch.weights;
  return strip;
}

// acc += weights · v, where NaN and infinity do not get through to rows that do not see them.
template <class T, class M, class S>
void accumulate_strip(const FlashTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip,
                      const FlashBlock<T>& block) {
  const simd::Kernels<T>& kernels = task.kernels();
  if (!block.finite) {
    if (task.plan.direct) {
      kernels.pack_values(block.v, block.keys, task.plan.block, task.scratch.v);
    }
    kernels.accumulate_seen(strip, task.scratch.seen);
  } else if (task.plan.direct) {
    kernels.accumulate_direct(strip, block.v);
  } else {
    kernels.accumulate(strip);
  }
}

// The strip of queries that starts at row `row` of the task against a block of keys, whose cells
// start at panel `panel` of the map.
template <class T, class M, class S>
void flash_strip(const FlashTask<T, M, S>& task, int row, FlashBlock<T> block, const CellMap& map,
                 int panel) {
  using R = Accum<T>;
  const simd::Geometry& cell = task.plan.cell;
  const FlashScratch<R>& scratch = task.scratch;
  const int group = row / cell.rows;
  const int queries = std::min(task.plan.strip * cell.rows, task.rows.count() - row);
  auto strip = make_strip(scratch, task.plan, task.problem.shape, row, queries, block.keys);
  const auto [early, late] = scale_steps(task);
  if (!cell.exact()) strip.scale = early;
  const mask::Coverage seen = map.copy(group, strip.groups, panel, strip.panels, scratch.live);
  if (seen == mask::Coverage::Empty) return;  // whose weights, if asked for, are 0 already
  const simd::Kernels<T>& kernels = task.kernels();
  if (task.plan.direct) {
    kernels.dots_direct(strip, block.k);
  } else {
    kernels.dots(strip);
    if (!block.sure) mend_scores(task, strip, group, block.begin, block.k);
  }
  if (late != R(1) || !folds_scale<S> || block.keys % cell.panel != 0 ||
      seen != mask::Coverage::Full) {
    rewrite_strip(task, strip, group, block.begin, late);
  }
  if (task.plan.direct) {  // values are read once more only where a score of −inf may hide some
    block.finite = kernels.all_seen(strip) || kernels.all_finite(block.v, block.keys);
  }
  if (!block.finite) {
    const Index count = Index{strip.groups} * strip.panels * cell.rows * cell.panel;
    for (Index n = 0; n < count; ++n) scratch.seen[n] = !is_masked(scratch.scores[n]);
  }
  kernels.softmax(strip);
  if (task.shrink != R(1)) shrink_weights(strip, Index{cell.rows} * cell.panel, task.shrink);
  if (task.problem.weights.data != nullptr) store_weights(task, strip, group);
  if (task.problem.dropout.active()) drop_weights(task, strip, group, block.begin);
  accumulate_strip(task, strip, block);
}

// All rows of a task against the keys [begin, begin + keys).
template <class T, class M, class S>
void attend_block(const FlashTask<T, M, S>& task, int begin, int keys, const CellMap& map,
                  int panel, bool sure) {
  const Problem<T>& problem = task.problem;
  const simd::Kernels<T>& kernels = task.kernels();
  const auto k = problem.k.matrix(task.rows.b, task.kv_head());
  const auto v = problem.v.matrix(task.rows.b, task.kv_head());
  FlashBlock<T> block{begin, keys, slice(k, begin, keys), slice(v, begin, keys), sure, true};
  if (!task.plan.direct) {
    block.sure &= kernels.pack_keys(block.k, keys, task.scratch.kt);
    block.finite = kernels.pack_values(block.v, keys, task.plan.block, task.scratch.v);
  }
  for (int row = 0; row < task.rows.count(); row += task.plan.strip * task.plan.cell.rows) {
    flash_strip(task, row, block, map, panel);
  }
}

// The rows of a task against the keys [first, last).
template <class T, class M, class S>
void attend_span(const FlashTask<T, M, S>& task, Index first, Index last) {
  const bool sure = load_queries(task);
  for_each_live_block(task, first, last, [&](int begin, int keys, const CellMap& map, int panel) {
    attend_block(task, begin, keys, map, panel, sure);
  });
}

// Sums of values near the largest number overflow where their mean does not: such rows once more,
// under smaller weights. Values that are NaN or infinite take this way too.
template <class T, class M, class S>
[[gnu::noinline, gnu::cold]] void attend_again(const FlashTask<T, M, S>& task) {
  Problem<T> problem = task.problem;
  problem.weights.data = nullptr;
  const FlashTask<T, M, S> again{
      problem,  task.mask, task.score,   task.plan,
      task.isa, task.rows, task.scratch, shrink_of<Accum<T>>(problem.shape.Lk)};
  attend_span(again, 0, problem.shape.Lk);
  rewrite_rows(again);
}

template <class T, class M, class S>
void finish_task(const FlashTask<T, M, S>& task) {
  if (!write_rows(task)) attend_again(task);
}

// Every task, on `plan.workers` workers that share nothing. The keys of a row come in ascending
// order whoever computes it, so its bits depend on neither threads nor batch.
//
// Time O(B·Hq·Lq·Lk·(D + Dv)) over the cells that are not Empty;
// scratch O(workers · (queries of a task + keys of a block) · (D + Dv)).
template <class T, class M, class S>
void flash_forward(const Problem<T>& problem, const M& mask, const S& score, const FlashPlan& plan,
                   Isa isa, Executor* executor, std::byte* memory) {
  using R = Accum<T>;
  const Shape& shape = problem.shape;
  const Index bytes = flash_scratch_bytes<R>(shape, plan);
  Carver carver(memory);
  const FlashPartials<R> partials(carver, shape, plan);
  std::byte* scratch = memory + carver.used();
  const auto task_of = [&](Index task, int worker) {
    Carver own(scratch + worker * bytes);
    return FlashTask<T, M, S>{problem,
                              mask,
                              score,
                              plan,
                              isa,
                              flash_rows(plan, shape, task),
                              partials.of(task, FlashScratch<R>(own, shape, plan))};
  };
  parallel_for(plan.tasks, plan.workers, executor, [&](Index index, int worker) {
    const auto task = task_of(index, worker);
    const Index first = index % plan.spans * plan.span;
    attend_span(task, first, std::min(first + plan.span, shape.Lk));
    if (plan.spans == 1) finish_task(task);
  });
  if (plan.spans == 1) return;
  parallel_for(plan.tasks / plan.spans, plan.workers, executor, [&](Index set, int worker) {
    merge_spans(partials, plan.cell, set * plan.spans, plan.spans);
    finish_task(task_of(set * plan.spans, worker));
  });
}

}  // namespace HEED_ABI
}  // namespace heed
