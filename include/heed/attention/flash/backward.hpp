// Gradients of attention in tiles; neither scores nor weights are ever stored whole.
// Dao, "FlashAttention-2" (2023), Algorithm 2.
//
// A task holds a span of the keys of one head. Of each of its KV blocks it packs keys and values
// once a query sees one, lets the queries of the group pass by, some row tiles at a time, and
// stores d_k and d_v. Each span has a d_q of its own; they are added in ascending order. Tiles that
// the mask calls Empty are skipped in all five products.
#pragma once

#include <algorithm>
#include <type_traits>

#include "heed/attention/flash/backward_sinks.hpp"
#include "heed/attention/flash/backward_tiles.hpp"
#include "heed/core/parallel.hpp"

namespace heed {

inline namespace HEED_ABI {

// Algorithm 2's inner loop: one KV block and all queries of a query head, whose d_q goes to `part`.
template <class T, class M, class S>
void attend_backward(const BackwardTask<T, M, S>& task, BackwardBlock<Accum<T>>& block, Index part,
                     Index g) {
  const simd::Accumulator<Accum<T>> d_q{task.wave.d_q_of(task.head, part, g), task.wave.columns,
                                        task.call.plan.tile_shape};
  const auto* lse = task.wave.lse_of(task.head, g);
  const auto* delta = task.wave.delta_of(task.head, g);
  for_each_query_tiles(task, block, g, 0, task.shape().Lq, [&](const auto& tiles, Index row) {
    tiles.weights(lse + row);
    tiles.weight_gradients();
    tiles.add_d_v();
    tiles.score_gradients(delta + row);
    tiles.add_d_k();
    tiles.add_d_q(d_q.from_tile(task.call.plan.tile_shape.tile_of(row)));
  });
}

template <class R>
void add_to(R* sum, const R* more, Index count) {
  for (Index n = 0; n < count; ++n) sum[n] += more[n];
}

// d_k and d_v of the keys [begin, last) of a span, a KV block, and what they add to d_q and to the
// score's gradients.
template <class T, class M, class S>
void backward_block(const BackwardTask<T, M, S>& task, Index span, Index begin, Index last) {
  using R = Accum<T>;
  const BackwardPlan& plan = task.call.plan;
  auto block = make_block(task, begin, last);
  const auto clear = [](const simd::Accumulator<R>& sum, Index keys) {
    std::fill_n(sum.data, sum.size(sum.shape, keys, sum.columns), R(0));
  };
  clear(block.d_k, plan.block);
  clear(block.d_v, plan.block);
  const Index part = std::min(span, task.wave.parts - 1);
  for (Index g = 0; g < task.wave.group; ++g) attend_backward(task, block, part, g);
  const auto store = [&](const simd::Accumulator<R>& sum, R factor, const View<T, 4>& to) {
    std::fill_n(task.scratch.factor, block.keys, factor);
    task.call.gradients.store_rows(sum, 0, task.scratch.factor,
                                   slice(to.matrix(task.b, task.kv_head), begin, block.keys));
  };
  store(block.d_k, static_cast<R>(task.call.forward.scale), task.call.d_k);
  store(block.d_v, R(1), task.call.d_v);
}

// The sums of a span become 0.
template <class T, class M, class S>
void clear_span(const BackwardTask<T, M, S>& task, Index span) {
  const BackwardWave<Accum<T>>& wave = task.wave;
  const Index part = std::min(span, wave.parts - 1);
  std::fill_n(wave.d_q_of(task.head, part, 0), wave.d_q_size(), Accum<T>(0));
  for (Index g = 0; g < wave.group; ++g) clear_task(task.sums, task.sums_of(span, g));
}

// KV block n of a span, or nothing beyond its last.
template <class T, class M, class S>
void backward_block_of(const BackwardTask<T, M, S>& task, Index span, Index n) {
  const BackwardPlan& plan = task.call.plan;
  const Index last = std::min((span + 1) * plan.span, task.shape().Lk);
  const Index begin = span * plan.span + n * plan.block;
  if (n == 0) clear_span(task, span);
  if (begin < last) backward_block(task, span, begin, std::min(begin + plan.block, last));
}

template <class T, class M, class S>
void backward_span(const BackwardTask<T, M, S>& task, Index span) {
  const BackwardPlan& plan = task.call.plan;
  const BackwardWave<Accum<T>>& wave = task.wave;
  const Index blocks = plan.blocks(task.shape());
  for (Index n = 0; n < blocks; ++n) backward_block_of(task, span, n);
  if (!plan.adds_spans || span == 0) return;
  add_to(wave.d_q_of(task.head, 0, 0), wave.d_q_of(task.head, wave.parts - 1, 0), wave.d_q_size());
}

// All spans of the heads [first, first + count), `task_of(head, worker)` of the wave. Heads that
// share numbers of a gradient follow each other one KV block apart: at no time do two of them add
// to the same columns, and each column's sum has them in ascending order.
template <class TaskOf>
void backward_wave(const BackwardPlan& plan, const Shape& shape, Index first, Index count,
                   Executor* executor, const TaskOf& task_of) {
  const auto lag = [&](Index head) { return (first + head) / plan.apart - first / plan.apart; };
  if (lag(count - 1) == 0) {
    return parallel_for(count * plan.spans, plan.workers, executor, [&](Index index, int worker) {
      backward_span(task_of(index % count, worker), index / count);
    });
  }
  const Index blocks = plan.blocks(shape);
  for (Index turn = 0; turn < blocks + lag(count - 1); ++turn) {
    parallel_for(count * plan.spans, plan.workers, executor, [&](Index index, int worker) {
      const Index block = turn - lag(index % count);
      if (block < 0 || block >= blocks) return;
      backward_block_of(task_of(index % count, worker), index / count, block);
    });
  }
}

// delta = Σ_j p·d_p of the queries [q_begin, q_end) of head g, which are 0 on entry.
template <class T, class M, class S>
void add_delta(const BackwardTask<T, M, S>& task, Index g, Index q_begin, Index q_end) {
  const Accum<T>* lse = task.wave.lse_of(task.head, g);
  Accum<T>* delta = task.wave.delta_of(task.head, g);
  const Index keys = task.shape().Lk, block_keys = task.call.plan.block;
  for (Index begin = 0; begin < keys; begin += block_keys) {
    auto block = make_block(task, begin, std::min(begin + block_keys, keys));
    for_each_query_tiles(task, block, g, q_begin, q_end, [&](const auto& tiles, Index row) {
      tiles.weights(lse + row);
      tiles.weight_gradients();
      task.call.gradients.add_row_dots(tiles.p, tiles.d_p, delta + row);
    });
  }
}

// lse and delta of the queries [q_begin, q_end) of head g. delta is Σ_d d_out·out of an out that is
// not rounded; a rounded one would bias that sum (arXiv 2510.04212), so there the keys are gone
// over twice.
template <class T, class M, class S>
void find_delta(const BackwardTask<T, M, S>& task, Index g, Index q_begin, Index q_end) {
  using R = Accum<T>;
  const BackwardPlan& plan = task.call.plan;
  const Index h = task.query_head(g), padded = plan.tile_shape.rows_in_tiles(q_end);
  R* lse = task.wave.lse_of(task.head, g);
  R* delta = task.wave.delta_of(task.head, g);
  std::fill(lse + q_begin, lse + padded, R(0));
  std::fill(delta + q_begin, delta + padded, R(0));
  for (Index i = q_begin; i < q_end; ++i) {
    const R of_row = task.call.forward.lse(task.b, h, i);
    lse[i] = is_masked(of_row) ? R(0) : of_row;
  }
  if constexpr (!std::is_same_v<T, R>) {
    if (task.call.out.data == nullptr) return add_delta(task, g, q_begin, q_end);
  }
  const auto rows_of = [&](const auto& x) {
    return slice(x.matrix(task.b, h), q_begin, q_end - q_begin);
  };
  const RowDots<T, R> dots{rows_of(task.call.d_out), rows_of(task.call.out)};
  simd::for_isa<R, RowDots<T, R>, R*>(task.call.kernels.isa)(dots, delta + q_begin);
}

// d_q = scale · Σ of the spans' d_q in ascending order, of some rows of a query head.
template <class T, class M, class S>
void store_d_q(const BackwardTask<T, M, S>& task, Index g, Index row, Index count) {
  using R = Accum<T>;
  const BackwardPlan& plan = task.call.plan;
  const BackwardWave<R>& wave = task.wave;
  const Index numbers =
      simd::Accumulator<R>::size(plan.tile_shape, count, wave.columns);  // of these rows
  R* sum = wave.d_q_of(task.head, 0, g) + row * wave.columns;
  for (Index part = 1; part < wave.parts && !plan.adds_spans; ++part) {
    add_to(sum, wave.d_q_of(task.head, part, g) + row * wave.columns, numbers);
  }
  std::fill_n(task.scratch.factor, count, static_cast<R>(task.call.forward.scale));
  task.call.kernels.store_rows(simd::Accumulator<const R>{sum, wave.columns, plan.tile_shape}, 0,
                               task.scratch.factor,
                               slice(task.call.d_q.matrix(task.b, task.query_head(g)), row, count));
}

// All gradients, wave by wave: delta; the spans; the sums of d_q. No atomics: bits depend on
// neither threads nor batch.
//
// Five products where forward has two, seven where out is rounded. Scratch O(Lq·D·spans) for each
// head of a wave, at most 8 spans and on one worker two d_q, and O(workers·block·(D + Dv)).
template <class T, class M, class S>
void flash_backward(const BackwardCall<T, M, S>& call, Executor* executor, std::byte* memory) {
  using R = Accum<T>;
  const Shape& shape = call.forward.shape;
  const BackwardPlan& plan = call.plan;
  const Index rows_of_task = 8 * plan.rows;
  const Index heads = shape.B * shape.Hkv;
  const Index row_blocks = (shape.Lq + rows_of_task - 1) / rows_of_task;
  const Index worker_bytes = backward_worker_bytes<R>(shape, plan);
  Carver carver(memory);
  const BackwardWave<R> wave(carver, shape, plan);
  const ScoreSums<R, S> sums = gradient_sums<R>(carver, call.score, shape, wave_tasks(shape, plan));
  std::byte* scratch = memory + carver.used();
  clear_sums(sums, plan.workers, executor);
  for (Index first = 0, count = 0; first < heads; first += count) {
    count = std::min(plan.heads, heads - first);
    if (plan.heads <= plan.apart) count = std::min(count, plan.apart - first % plan.apart);
    const auto place = [&](Index head) { return plan.place(shape, first + head); };
    const auto task_of = [&](Index head, int worker) {
      Carver own(scratch + worker * worker_bytes);
      return BackwardTask<T, M, S>{call,
                                   wave,
                                   head,
                                   place(head).b,
                                   place(head).kv_head,
                                   BackwardScratch<R>(own, shape, plan),
                                   sums};
    };
    const Index row_tasks = wave.group * row_blocks;
    const auto for_each_rows = [&](const auto& f) {
      parallel_for(count * row_tasks, plan.workers, executor, [&](Index index, int worker) {
        const Index row = index % row_blocks * rows_of_task;
        f(task_of(index / row_tasks, worker), index / row_blocks % wave.group, row,
          std::min(row + rows_of_task, shape.Lq));
      });
    };
    for_each_rows(
        [](const auto& task, Index g, Index begin, Index end) { find_delta(task, g, begin, end); });
    if (plan.sink_sums > 0) find_d_sinks(count, wave.group, plan.workers, executor, task_of);
    backward_wave(plan, shape, first, count, executor, task_of);
    for_each_rows([&](const auto& task, Index g, Index begin, Index end) {
      for (Index row = begin; row < end; row += plan.rows) {
        store_d_q(task, g, row, std::min<Index>(plan.rows, end - row));
      }
    });
    add_tasks(sums, plan, shape, first, count, executor);
  }
  store_sums(sums, plan.workers, executor);
  store_d_sinks(wave.d_sinks, shape, call.d_sinks);
}

}  // namespace HEED_ABI
}  // namespace heed
