// Rows whose keys are done: their weighted mean and log-sum-exp go to the caller's tensors.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "heed/attention/flash/tile_args.hpp"

namespace heed {

inline namespace HEED_ABI {

// f(row, head, begin, end) for each run of rows of one head and one row tile.
template <class T, class M, class S, class F>
void for_each_done_piece(const FlashTask<T, M, S>& task, F&& f) {
  const int mr = task.plan.tile_shape.mr;
  for (int first = 0; first < task.rows.count(); first += mr) {
    for_each_head_segment(task.rows, first, first + mr,
                          [&](Index h, int row, int begin, int end) { f(row, h, begin, end); });
  }
}

// f(out, store) with the tensor that a call writes and the kernel that does it.
template <class T, class F>
auto with_output(const Problem<T>& problem, const simd::PackedKernels<T>& kernels, F&& f) {
  if constexpr (!std::is_same_v<T, Accum<T>>) {
    if (problem.unrounded_out.data != nullptr) {
      return f(problem.unrounded_out, kernels.store_unrounded);
    }
  }
  return f(problem.out, kernels.store_rows);
}

// The sinks of the rows' heads join their softmax.
template <class T, class M, class S>
void join_sinks(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const simd::RowState<R>& state = task.state;
  for_each_head_segment(task.rows, 0, task.rows.count(),
                        [&](Index h, int first, int begin, int end) {
                          const R sink = sink_of<R>(task.problem, h);
                          for (int row = first; row < first + end - begin; ++row) {
                            softmax::Row<R> joined{state.max[row], state.sum[row]};
                            const R factor = softmax::join_sink(joined, sink);
                            state.max[row] = joined.max, state.sum[row] = joined.sum;
                            if (factor == R(1)) continue;
                            for (Index d = 0; d < task.problem.shape.Dv; ++d)
                              state.acc.at(row, d) *= factor;
                          }
                        });
}

// The rows have met all their keys: max becomes the lse, sum the factor of acc.
template <class T, class M, class S>
void finish_rows(const FlashTask<T, M, S>& task) {
  const auto& state = task.state;
  if (!task.problem.sinks.empty()) join_sinks(task);
  task.kernels.packed.finalize_rows(state.max, state.sum, task.rows.count());
}

// out = acc / sum, zero for a row that saw no key; lse beside it. Returns whether all of out is
// finite.
template <class T, class M, class S>
bool store_output(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const Problem<T>& problem = task.problem;
  const simd::PackedKernels<T>& kernels = task.kernels.packed;
  const simd::RowState<R>& state = task.state;
  finish_rows(task);
  const R* lse = state.max;
  bool finite = true;
  for_each_done_piece(task, [&](int row, Index h, int begin, int end) {
    for (int i = begin; problem.lse.data != nullptr && i < end; ++i) {
      problem.lse(task.rows.b, h, i) = lse[row + i - begin];
    }
    finite &= with_output(problem, kernels, [&](const auto& out, auto* store) {
      return store(state.acc, row, state.sum + row,
                   slice(out.matrix(task.rows.b, h), begin, end - begin));
    });
  });
  return finite;
}

// The same for weights that were smaller by `task.shrink`, of those rows alone whose out is not
// finite. A mean of finite values is finite: rounding alone does not make it infinite.
template <class T, class M, class S, class Out>
void rewrite_rows_of(const FlashTask<T, M, S>& task, const View<Out, 4>& all) {
  using R = Accum<T>;
  constexpr R largest = std::numeric_limits<R>::max();
  const simd::RowState<R>& state = task.state;
  finish_rows(task);
  for_each_done_piece(task, [&](int row, Index h, int begin, int end) {
    for (int i = begin; i < end; ++i, ++row) {
      const auto out = slice(all.matrix(task.rows.b, h), i, 1);
      bool finite = true;
      for (Index d = 0; d < out.extent[1]; ++d) finite &= is_finite(static_cast<R>(out(0, d)));
      if (finite) continue;
      const R factor = state.sum[row] / task.shrink;
      for (Index d = 0; d < out.extent[1]; ++d) {
        const R sum = state.acc.at(row, d);
        R mean = sum * factor;
        if (is_finite(sum) && !is_finite(mean) && !is_nan(mean) && !task.problem.dropout.active()) {
          mean = std::copysign(largest, sum);
        }
        out(0, d) = static_cast<Out>(mean);
      }
    }
  });
}

template <class T, class M, class S>
void rewrite_rows(const FlashTask<T, M, S>& task) {
  with_output(task.problem, task.kernels.packed,
              [&](const auto& out, auto*) { rewrite_rows_of(task, out); });
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
void shrink_weights(const simd::ScoreTiles<R>& p, R shrink) {
  p.for_each_live_tile([&](R* tile) {
    for (Index n = 0; n < p.tile_size(); ++n) tile[n] *= shrink;
  });
}

}  // namespace HEED_ABI
}  // namespace heed
