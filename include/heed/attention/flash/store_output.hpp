// Rows whose keys are done: their weighted mean and log-sum-exp go to the caller's tensors.
#pragma once

#include <cmath>
#include <limits>

#include "heed/attention/flash/task.hpp"

namespace heed {

inline namespace HEED_ABI {

// f(row, group's weighted values, head, begin, end) for each run of rows of one head and one group.
template <class T, class M, class S, class F>
void for_each_done_piece(const FlashTask<T, M, S>& task, F&& f) {
  const simd::TileShape& tile_shape = task.plan.tile_shape;
  const Index columns = tile_shape.columns(task.problem.shape.Dv);
  for (int first = 0; first < task.rows.count(); first += tile_shape.mr) {
    const auto* acc = task.scratch.acc + first * columns;
    for_each_head_segment(
        task.rows, first, first + tile_shape.mr,
        [&](Index h, int row, int begin, int end) { f(row, acc, h, begin, end); });
  }
}

// out = acc / sum, zero for a row that saw no key; lse beside it. Returns whether all of out is
// finite.
template <class T, class M, class S>
bool store_output(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const Problem<T>& problem = task.problem;
  const Index columns = task.plan.tile_shape.columns(problem.shape.Dv);
  task.kernels().finalize_rows(task.scratch.max, task.scratch.sum, task.rows.count());
  const R* lse = task.scratch.max;
  const R* factor = task.scratch.sum;
  bool finite = true;
  for_each_done_piece(task, [&](int row, const R* acc, Index h, int begin, int end) {
    for (int i = begin; problem.lse.data != nullptr && i < end; ++i) {
      problem.lse(task.rows.b, h, i) = lse[row + i - begin];
    }
    finite &= task.kernels().store_rows(
        acc, columns, row % task.plan.tile_shape.mr, factor + row, end - begin,
        slice(problem.out.matrix(task.rows.b, h), begin, end - begin));
  });
  return finite;
}

// The same for weights that were smaller by `task.shrink`, of those rows alone whose out is not
// finite. A mean of finite values is finite: rounding alone does not make it infinite.
template <class T, class M, class S>
void rewrite_rows(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const simd::TileShape& tile_shape = task.plan.tile_shape;
  const Index columns = tile_shape.columns(task.problem.shape.Dv);
  constexpr R largest = std::numeric_limits<R>::max();
  task.kernels().finalize_rows(task.scratch.max, task.scratch.sum, task.rows.count());
  for_each_done_piece(task, [&](int row, const R* acc, Index h, int begin, int end) {
    for (int i = begin; i < end; ++i, ++row) {
      const auto out = slice(task.problem.out.matrix(task.rows.b, h), i, 1);
      bool finite = true;
      for (Index d = 0; d < out.extent[1]; ++d) finite &= is_finite(static_cast<R>(out(0, d)));
      if (finite) continue;
      const R factor = task.scratch.sum[row] / task.shrink;
      for (Index d = 0; d < out.extent[1]; ++d) {
        const R sum = acc[tile_shape.offset(row % tile_shape.mr, d, columns)];
        R mean = sum * factor;
        if (is_finite(sum) && !is_finite(mean) && !is_nan(mean) && !task.problem.dropout.active()) {
          mean = std::copysign(largest, sum);
        }
        out(0, d) = static_cast<T>(mean);
      }
    }
  });
}

// 1 / (4 · keys) at most, a power of 2: a sum of that many finite values times it is finite.
template <class R>
R shrink_of(Index keys) {
  R shrink = R(0.5);
  for (; keys > 0; keys /= 2) shrink /= 2;
  return shrink;
}

// The weights of every live tile, smaller.
template <class R>
void shrink_weights(const simd::TileArgs<R>& args, Index tile_shape, R shrink) {
  for (Index at = 0; at < Index{args.m_tiles} * args.panels; ++at) {
    if (args.coverage[at] == 0) continue;
    for (Index n = 0; n < tile_shape; ++n) args.scores[at * tile_shape + n] *= shrink;
  }
}

}  // namespace HEED_ABI
}  // namespace heed
