// Exact attention in tiles: scores live in scratch, a strip at a time, and are never stored whole.
// Dao, "FlashAttention-2" (2023), Algorithm 1.
//
// A task is some hundred queries. It packs a block of keys and values, lets strip after strip of
// its queries sweep it, and goes on to the next block. Cells (a few queries × a few keys) that the
// mask calls Empty are not computed, blocks of them not even packed.
#pragma once

#include <algorithm>

#include "heed/attention/flash_plan.hpp"
#include "heed/attention/problem.hpp"
#include "heed/attention/rewrite.hpp"
#include "heed/core/parallel.hpp"
#include "heed/simd/kernels.hpp"
#include "heed/softmax/online.hpp"

namespace heed {

// Everything a task reads, and the scratch it writes. M and S are as the user gave them, unbound.
template <class T, class M, class S>
struct FlashTask {
  using R = Accum<T>;

  const Problem<T>& problem;
  const M& mask;
  const S& score;
  const FlashPlan& plan;
  Isa isa;
  QueryRows rows;
  FlashScratch<R> scratch;

  const simd::Kernels<T>& kernels() const { return simd::kernels<T>(isa); }
  Index kv_head() const { return rows.first_head / problem.shape.group(); }
};

inline namespace HEED_ABI {

// Rows of a tensor: as many queries of a head as the matrix has rows.
template <class T>
View<T, 2> slice(const View<T, 2>& x, Index begin, Index count) {
  return {x.data == nullptr ? nullptr : x.data + begin * x.stride[0],
          {count, x.extent[1]},
          {x.stride[0], x.stride[1]}};
}

template <class T, class M, class S>
void load_queries(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const Problem<T>& problem = task.problem;
  const FlashScratch<R>& scratch = task.scratch;
  const R scale = folds_scale<S> ? static_cast<R>(problem.scale) * log2_e<R> : R(1);
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

// Which cells of a strip are to be computed, as mask::Coverage. Returns that of all together.
template <class T, class M, class S>
mask::Coverage find_live_cells(const FlashTask<T, M, S>& task, int first_group, int groups,
                               int k_begin, int k_end) {
  const simd::Geometry& cell = task.plan.cell;
  const auto coverage = [&](int group, int count, int begin, int end) {
    return coverage_of(task.mask, task.problem.shape, task.rows, group * cell.rows,
                       (group + count) * cell.rows, begin, end);
  };
  const auto panels = static_cast<int>(cell.panels(k_end - k_begin));
  std::uint8_t* live = task.scratch.live;
  const mask::Coverage whole = coverage(first_group, groups, k_begin, k_end);
  std::fill_n(live, groups * panels, static_cast<std::uint8_t>(whole));
  if (whole != mask::Coverage::Partial) return whole;
  bool any = false;
  for (int g = 0; g < groups; ++g, live += panels) {
    const mask::Coverage row = coverage(first_group + g, 1, k_begin, k_end);
    for (int p = 0; p < panels; ++p) {
      const int begin = k_begin + p * cell.panel;
      const mask::Coverage found =
          row == mask::Coverage::Partial
              ? coverage(first_group + g, 1, begin, std::min(begin + cell.panel, k_end))
              : row;
      live[p] = static_cast<std::uint8_t>(found);
      any |= found != mask::Coverage::Empty;
    }
  }
  return any ? mask::Coverage::Partial : mask::Coverage::Empty;
}

// f(head, cell of scores, tile) for every piece of a live cell that lies in one head.
template <class T, class M, class S, class F>
void for_each_live_piece(const FlashTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip,
                         int first_group, int k_begin, F&& f) {
  const simd::Geometry& cell = task.plan.cell;
  for (int g = 0; g < strip.groups; ++g) {
    const int first = (first_group + g) * cell.rows;
    for_each_stretch(
        task.rows, first, first + cell.rows, [&](Index h, int row, int begin, int end) {
          for (int p = 0; p < strip.panels; ++p) {
            const Index at = Index{g} * strip.panels + p;
            if (strip.live[at] == 0) continue;
            const int j = k_begin + p * cell.panel;
            const mask::Tile tile{begin, end, j, std::min(j + cell.panel, k_begin + strip.keys)};
            f(h, strip.scores + (at * cell.rows + row - first) * cell.panel, tile,
              static_cast<mask::Coverage>(strip.live[at]));
          }
        });
  }
}

// Scores of a strip: scaled, modified, masked.
template <class T, class M, class S>
void rewrite_strip(const FlashTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip,
                   int first_group, int k_begin) {
  using R = Accum<T>;
  using mask::Coverage;
  const Problem<T>& problem = task.problem;
  for_each_live_piece(
      task, strip, first_group, k_begin,
      [&](Index h, R* scores, const mask::Tile& tile, Coverage coverage) {
        const bool whole = tile.k_end - tile.k_begin == task.plan.cell.panel;
        if (folds_scale<S> && whole && coverage == Coverage::Full) return;
        const auto mask = mask::bind(task.mask, problem.shape, task.rows.b, h);
        const auto score = score::bind(task.score, problem.shape, task.rows.b, h);
        using Cell = Rewrite<R, decltype(mask), decltype(score)>;
        const Cell rewrite{mask, score, static_cast<R>(problem.scale), coverage != Coverage::Full};
        simd::rewriter<R, Cell, mask::Tile>(task.isa)(rewrite, scores, tile);
      });
}

template <class T, class M, class S>
void drop_weights(const FlashTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip,
                  int first_group, int k_begin) {
  using R = Accum<T>;
  const Dropout& dropout = task.problem.dropout;
  const int panel = task.plan.cell.panel;
  for_each_live_piece(task, strip, first_group, k_begin,
                      [&](Index h, R* p, const mask::Tile& tile, mask::Coverage) {
                        for (int i = tile.q_begin; i < tile.q_end; ++i, p += panel) {
                          for (int j = tile.k_begin; j < tile.k_end; ++j) {
                            const bool kept = dropout.keeps(static_cast<std::uint32_t>(task.rows.b),
                                                            static_cast<std::uint32_t>(h),
                                                            static_cast<std::uint32_t>(i),
                                                            static_cast<std::uint32_t>(j));
                            p[j - tile.k_begin] *= kept ? static_cast<R>(dropout.keep_scale) : R(0);
                          }
                        }
                      });
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
  if (seen == mask::Coverage::Empty) return;
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
            const softmax::Row<R> state{task.scratch.max[at] / log2_e<R>, task.scratch.sum[at]};
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
    const int keys = std::min(task.plan.block, Lk - k_begin);
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
