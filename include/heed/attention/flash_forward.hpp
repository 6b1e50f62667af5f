// Exact attention in tiles: scores live in scratch, a strip at a time, and are never stored whole.
// Dao, "FlashAttention-2" (2023), Algorithm 1.
//
// A task is some hundred queries. It packs a block of keys and values, lets strip after strip of
// its queries sweep it, and goes on to the next block. Cells (a few queries × a few keys) that the
// mask calls Empty are not computed, blocks of them not even packed.
#pragma once

#include <algorithm>

#include "heed/attention/flash_cells.hpp"
#include "heed/core/parallel.hpp"
#include "heed/softmax/online.hpp"

namespace heed {

inline namespace HEED_ABI {

template <class T, class M, class S>
void load_queries(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const Problem<T>& problem = task.problem;
  const FlashScratch<R>& scratch = task.scratch;
  const R scale = folds_scale<S> ? static_cast<R>(problem.scale) * softmax::log2_e<R> : R(1);
  const Index D = problem.shape.D;
  for_each_stretch(task.rows, 0, task.rows.count(), [&](Index h, int row, int begin, int end) {
    task.kernels().load_rows(slice(problem.q.matrix(task.rows.b, h), begin, end - begin),
                             end - begin, scale, scratch.q + row * D);
  });
  std::fill(scratch.q + task.rows.count() * D, scratch.q + task.plan.rows() * D, R(0));
  std::fill_n(scratch.acc, task.plan.rows() * task.plan.cell.columns(problem.shape.Dv), R(0));
  std::fill_n(scratch.max, task.plan.rows(), softmax::Row<R>{}.max);
  std::fill_n(scratch.sum, task.plan.rows(), R(0));
}

// One strip of queries against the packed block of keys [k_begin, k_begin + keys).
template <class T, class M, class S>
void flash_strip(const FlashTask<T, M, S>& task, int first_group, int groups, int k_begin, int keys,
                 bool finite) {
  using R = Accum<T>;
  const Shape& shape = task.problem.shape;
  const simd::Geometry& cell = task.plan.cell;
  const FlashScratch<R>& scratch = task.scratch;
  const mask::Coverage seen = find_live_cells(task, first_group, groups, k_begin, k_begin + keys);
  if (seen == mask::Coverage::Empty) return;  // whose weights, if asked for, are 0 already
  const Index row = Index{first_group} * cell.rows;
  const Index columns = cell.columns(shape.Dv);
  const auto panels = static_cast<int>(cell.panels(keys));
  const simd::Strip<R> strip{groups,
                             panels,
                             keys,
                             shape.D,
                             columns,
                             task.plan.block,
                             scratch.q + row * shape.D,
                             scratch.kt,
                             scratch.v,
                             scratch.live,
                             scratch.scores,
                             scratch.acc + row * columns,
                             scratch.max + row,
                             scratch.sum + row};
  const simd::Kernels<T>& kernels = task.kernels();
  kernels.dots(strip);
  if (!folds_scale<S> || keys % cell.panel != 0 || seen != mask::Coverage::Full) {
    rewrite_strip(task, strip, first_group, k_begin);
  }
  if (!finite) {
    const Index count = Index{groups} * panels * cell.rows * cell.panel;
    for (Index n = 0; n < count; ++n) scratch.seen[n] = !is_masked(scratch.scores[n]);
  }
  kernels.softmax(strip);
  if (task.problem.weights.data != nullptr) store_weights(task, strip, first_group);
  if (task.problem.dropout.active()) drop_weights(task, strip, first_group, k_begin);
  if (finite) {
    kernels.accumulate(strip);
  } else {
    kernels.accumulate_seen(strip, scratch.seen);
  }
}

// out = acc / sum, zero for a row that saw no key; lse beside it.
template <class T, class M, class S>
void write_rows(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const Problem<T>& problem = task.problem;
  const simd::Geometry& cell = task.plan.cell;
  const Index columns = cell.columns(problem.shape.Dv);
  R factor[64];
  for (int first = 0; first < task.rows.count(); first += cell.rows) {
    const R* acc = task.scratch.acc + first * columns;
    for_each_stretch(
        task.rows, first, first + cell.rows, [&](Index h, int row, int begin, int end) {
          for (int i = begin; i < end; ++i) {
            const Index at = row + i - begin;
            const softmax::Row<R> state{task.scratch.max[at], task.scratch.sum[at]};
            factor[i - begin] = state.blind() ? R(0) : R(1) / state.sum;
            if (problem.lse.data != nullptr) problem.lse(task.rows.b, h, i) = state.lse();
          }
          task.kernels().store_rows(acc, columns, row - first, factor, end - begin,
                                    slice(problem.out.matrix(task.rows.b, h), begin, end - begin));
        });
  }
}

template <class T, class M, class S>
void run_task(const FlashTask<T, M, S>& task) {
  const Problem<T>& problem = task.problem;
  const simd::Geometry& cell = task.plan.cell;
  const auto groups = static_cast<int>(cell.groups(task.rows.count()));
  const auto Lk = static_cast<int>(problem.shape.Lk);
  const auto k = problem.k.matrix(task.rows.b, task.kv_head());
  const auto v = problem.v.matrix(task.rows.b, task.kv_head());
  load_queries(task);
  for (int k_begin = 0, k_end = 0; k_begin < Lk; k_begin = k_end) {
    const auto keys = static_cast<int>(std::min<Index>(task.plan.block, Lk - k_begin));
    k_end = k_begin + keys;
    if (coverage_of(task.mask, problem.shape, task.rows, 0, task.rows.count(), k_begin, k_end) ==
        mask::Coverage::Empty) {
      continue;
    }
    task.kernels().pack_keys(slice(k, k_begin, keys), keys, task.scratch.kt);
    const bool finite =
        task.kernels().pack_values(slice(v, k_begin, keys), keys, task.plan.block, task.scratch.v);
    for (int first = 0; first < groups; first += task.plan.strip) {
      flash_strip(task, first, std::min(task.plan.strip, groups - first), k_begin, keys, finite);
    }
  }
  write_rows(task);
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
  const Index bytes = flash_scratch_bytes<R>(problem.shape, plan);
  parallel_for(plan.tasks, plan.workers, executor, [&](Index task, int worker) {
    Carver carver(memory + worker * bytes);
    run_task(FlashTask<T, M, S>{problem, mask, score, plan, isa,
                                flash_rows(plan, problem.shape, task),
                                FlashScratch<R>(carver, problem.shape, plan)});
  });
}

}  // namespace HEED_ABI
}  // namespace heed
