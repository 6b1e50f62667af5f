// Gradients of attention in tiles; neither scores nor weights are ever stored whole.
// Dao, "FlashAttention-2" (2023), Algorithm 2.
//
// A task holds a span of the keys of one head. Of each of its KV blocks it packs keys and values,
// lets the queries of the group pass by, some row tiles at a time, and stores d_k and d_v. Each
// span has a d_q of its own; they are added in ascending order. Tiles that the mask calls Empty are
// skipped in all five products.
#pragma once

#include <algorithm>
#include <limits>

#include "heed/attention/flash/backward_epilogue.hpp"
#include "heed/attention/flash/backward_plan.hpp"
#include "heed/attention/flash/block_mask.hpp"
#include "heed/core/parallel.hpp"

namespace heed {

// A checked backward call; `forward` holds q, k, v, lse and the options.
template <class T, class M, class S>
struct BackwardCall {
  const Problem<T>& forward;
  View<const T, 4> out;    // [B, Hq, Lq, Dv]
  View<const T, 4> d_out;  // [B, Hq, Lq, Dv]
  View<T, 4> d_q, d_k, d_v;
  const M& mask;
  const S& score;
  const BackwardPlan& plan;
  const simd::PackedKernels<T>& kernels;  // of elements
  const simd::GradientKernels<T>& gradients;
};

// A KV block, packed, and the sums of its gradients.
template <class R>
struct BackwardBlock {
  int begin, keys;
  simd::PackedB<R> kt, vt, k;
  simd::Accumulator<R> d_k, d_v;
  bool finite;  // all of k
};

inline namespace HEED_ABI {

// One worker on one head of keys.
template <class T, class M, class S>
struct BackwardTask {
  using R = Accum<T>;

  const BackwardCall<T, M, S>& call;
  const BackwardWave<R>& wave;
  Index head;  // of the wave
  Index b, kv_head;
  BackwardScratch<R> scratch;

  const Shape& shape() const { return call.forward.shape; }
  Index query_head(Index g) const { return kv_head * wave.group + g; }
};

template <class T, class M, class S>
BackwardBlock<Accum<T>> load_block(const BackwardTask<T, M, S>& task, Index begin, Index end) {
  using R = Accum<T>;
  const BackwardPlan& plan = task.call.plan;
  const Shape& shape = task.shape();
  const simd::TileShape& tiles = plan.tile_shape;
  const BackwardScratch<R>& scratch = task.scratch;
  const Index D = tiles.columns(shape.D), Dv = tiles.columns(shape.Dv);
  BackwardBlock<R> block{static_cast<int>(begin),
                         static_cast<int>(end - begin),
                         {scratch.kt, shape.D, plan.block, tiles},
                         {scratch.vt, shape.Dv, plan.block, tiles},
                         {scratch.k, plan.block, D, tiles},
                         {scratch.d_k, D, plan.sums},
                         {scratch.d_v, Dv, plan.sums},
                         true};
  const auto k = slice(task.call.forward.k.matrix(task.b, task.kv_head), begin, end - begin);
  const auto v = slice(task.call.forward.v.matrix(task.b, task.kv_head), begin, end - begin);
  task.call.kernels.pack_b_transposed(k, block.kt);
  task.call.kernels.pack_b_transposed(v, block.vt);
  block.finite = task.call.kernels.pack_b(k, block.k);
  std::fill_n(scratch.d_k, simd::Accumulator<R>::size(plan.sums, plan.block, D), R(0));
  std::fill_n(scratch.d_v, simd::Accumulator<R>::size(plan.sums, plan.block, Dv), R(0));
  return block;
}

// Rows [begin, begin + count) of x as operand A; the row tile's other rows become 0.
template <class T>
simd::PackedA<Accum<T>> pack_rows(const simd::PackedKernels<T>& kernels, const View<const T, 2>& x,
                                  Index begin, Index count, Accum<T> scale, Accum<T>* to) {
  using R = Accum<T>;
  const simd::PackedA<R> packed{to, x.extent[1], kernels.tile_shape};
  kernels.pack_a(slice(x, begin, count), scale, packed);
  std::fill(packed.row(count), packed.tile(kernels.tile_shape.m_tiles(count)), R(0));
  return packed;
}

// Weights p and their gradients d_p of some queries and a KV block, both without dropout.
//   bound_mask, bound_score  of the queries' head
template <class T, class M, class S, class BoundMask, class BoundScore>
struct BackwardTiles {
  using R = Accum<T>;

  const BackwardTask<T, M, S>& task;
  const BackwardBlock<R>& block;
  const BoundMask& bound_mask;
  const BoundScore& bound_score;
  ScorePlace at;
  simd::ScoreTiles<R> p, d_p;

  // Asks the mask. False where no query sees a key of the block.
  bool cover() const {
    const simd::TileShape& tiles = task.call.plan.tile_shape;
    mask::cover(bound_mask, {at.q_begin, at.q_end, tiles.mr, at.k_begin, at.k_end, tiles.nr},
                task.scratch.coverage, p.panels);
    CoverageSum seen;
    seen.add(task.scratch.coverage, p.tiles());
    return seen.value() != mask::Coverage::Empty;
  }

  void weights(const R* lse) const {
    const Problem<T>& forward = task.call.forward;
    const simd::PackedKernels<T>& kernels = task.call.kernels;
    const R scale = static_cast<R>(forward.scale);
    const bool folds = folds_scale<BoundScore> && scale >= R(-1) && scale <= R(1);
    const auto q = pack_rows(kernels, forward.q.matrix(at.b, at.h), at.q_begin,
                             at.q_end - at.q_begin, folds ? scale : R(1), task.scratch.q);
    kernels.gemm.qk(q, block.kt, p);
    if (folds_scale<BoundScore> && !folds) {
      const auto multiply = simd::for_isa<R, ScaleTile<R>, R*, int>(kernels.isa);
      p.for_each_live_tile([&](R* tile) { multiply(ScaleTile<R>{scale}, tile, p.shape.mr); });
    }
    if (task.call.plan.keeps_scores)
      std::copy_n(p.data, p.tiles() * p.tile_size(), task.scratch.scores);
    apply_epilogue(p, at, bound_mask, bound_score, scale, kernels.isa);
    task.call.gradients.probabilities(p, lse);
  }

  void weight_gradients() const {
    const simd::PackedKernels<T>& kernels = task.call.kernels;
    const auto d_out = pack_rows(kernels, task.call.d_out.matrix(at.b, at.h), at.q_begin,
                                 at.q_end - at.q_begin, R(1), task.scratch.d_out);
    kernels.gemm.qk(d_out, block.vt, d_p);
    if (task.call.plan.drops) drop(d_p, at, task.call.forward.dropout);
  }

  // c += aᵀ·x of the queries' rows of x, a matrix of their head.
  void add_transposed(const simd::ScoreTiles<R>& a, const View<const T, 2>& x, R* packed,
                      const simd::Accumulator<R>& c) const {
    const simd::PackedB<R> columns{packed, task.call.plan.rows,
                                   task.call.plan.tile_shape.columns(x.extent[1]),
                                   task.call.plan.tile_shape};
    const simd::GradientKernels<T>& gradients = task.call.gradients;
    if (task.call.kernels.pack_b(slice(x, at.q_begin, at.q_end - at.q_begin), columns)) {
      gradients.pv_transposed(a, columns, c);
    } else {
      gradients.find_unmasked(p, task.scratch.unmasked);
      gradients.pv_transposed_masked(a, columns, task.scratch.unmasked, c);
    }
  }

  void add_d_v() const {
    simd::ScoreTiles<R> kept = p;
    if (task.call.plan.drops) {
      kept.data = task.scratch.dropped;
      std::copy_n(p.data, p.tiles() * p.tile_size(), kept.data);
      drop(kept, at, task.call.forward.dropout);
    }
    add_transposed(kept, task.call.d_out.matrix(at.b, at.h), task.scratch.d_out_columns, block.d_v);
  }

  // d_p becomes the gradient of the scaled products of q and k.
  void score_gradients(const R* delta) const {
    task.call.gradients.score_gradient(p, d_p, delta);
    if (task.call.plan.keeps_scores) {
      multiply_derivative(d_p, task.scratch.scores, at, bound_score,
                          static_cast<R>(task.call.forward.scale), task.call.kernels.isa);
    }
  }

  void add_d_k() const {
    add_transposed(d_p, task.call.forward.q.matrix(at.b, at.h), task.scratch.q_columns, block.d_k);
  }

  void add_d_q(const simd::Accumulator<R>& d_q) const {
    if (block.finite) {
      task.call.kernels.gemm.pv(d_p, block.k, d_q);
    } else {
      task.call.gradients.find_unmasked(p, task.scratch.unmasked);
      task.call.kernels.gemm.pv_masked(d_p, block.k, task.scratch.unmasked, d_q);
    }
  }
};

// f(tiles, row) for all queries of head g that see a key of the block, some row tiles at a time.
template <class T, class M, class S, class F>
void for_each_query_tiles(const BackwardTask<T, M, S>& task, const BackwardBlock<Accum<T>>& block,
                          Index g, Index q_begin, Index q_end, F&& f) {
  using R = Accum<T>;
  const BackwardPlan& plan = task.call.plan;
  const Index h = task.query_head(g);
  const auto bound_mask = mask::bind(task.call.mask, task.shape(), task.b, h);
  const auto bound_score = score::bind(task.call.score, task.shape(), task.b, h);
  for (Index row = q_begin; row < q_end; row += plan.rows) {
    const ScorePlace at{task.b,
                        h,
                        static_cast<int>(row),
                        static_cast<int>(std::min(row + plan.rows, q_end)),
                        block.begin,
                        block.begin + block.keys};
    const auto tiles_of = [&](R* data) {
      return simd::ScoreTiles<R>::of(plan.tile_shape, data, task.scratch.coverage,
                                     at.q_end - at.q_begin, block.keys);
    };
    const BackwardTiles<T, M, S, decltype(bound_mask), decltype(bound_score)> tiles{
        task,
        block,
        bound_mask,
        bound_score,
        at,
        tiles_of(task.scratch.p),
        tiles_of(task.scratch.d_p)};
    if (tiles.cover()) f(tiles, row);
  }
}

// Algorithm 2's inner loop: one KV block and all queries of a query head, whose d_q goes to `part`.
template <class T, class M, class S>
void attend_backward(const BackwardTask<T, M, S>& task, const BackwardBlock<Accum<T>>& block,
                     Index part, Index g) {
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
    tiles.add_d_q(d_q.from_tile(row / task.call.plan.tile_shape.mr));
  });
}

template <class R>
void add_to(R* sum, const R* more, Index count) {
  for (Index n = 0; n < count; ++n) sum[n] += more[n];
}

// d_k and d_v of the keys of a span, and what they add to d_q.
template <class T, class M, class S>
void backward_span(const BackwardTask<T, M, S>& task, Index span) {
  using R = Accum<T>;
  const BackwardPlan& plan = task.call.plan;
  const BackwardWave<R>& wave = task.wave;
  const Index part = std::min(span, wave.parts - 1);
  R* const d_q = wave.d_q_of(task.head, part, 0);
  std::fill_n(d_q, wave.d_q_size(), R(0));
  const Index last = std::min((span + 1) * plan.span, task.shape().Lk);
  for (Index begin = span * plan.span; begin < last; begin += plan.block) {
    const auto block = load_block(task, begin, std::min(begin + plan.block, last));
    for (Index g = 0; g < wave.group; ++g) attend_backward(task, block, part, g);
    const auto store = [&](const simd::Accumulator<R>& sum, R factor, const View<T, 4>& to) {
      std::fill_n(task.scratch.factor, block.keys, factor);
      task.call.gradients.store_rows(sum, 0, task.scratch.factor,
                                     slice(to.matrix(task.b, task.kv_head), begin, block.keys));
    };
    store(block.d_k, static_cast<R>(task.call.forward.scale), task.call.d_k);
    store(block.d_v, R(1), task.call.d_v);
  }
  if (plan.adds_spans && part > 0) add_to(wave.d_q_of(task.head, 0, 0), d_q, wave.d_q_size());
}

// lse and delta of the queries [q_begin, q_end) of head g. delta = Σ_d d_out·out in float and
// double; out of half types is rounded, which biases that sum (arXiv 2510.04212): there it is Σ_j
// p·d_p.
template <class T, class M, class S>
void find_delta(const BackwardTask<T, M, S>& task, Index g, Index q_begin, Index q_end) {
  using R = Accum<T>;
  const BackwardPlan& plan = task.call.plan;
  const Index h = task.query_head(g), padded = plan.tile_shape.m_tiles(q_end) * plan.tile_shape.mr;
  R* lse = task.wave.lse_of(task.head, g);
  R* delta = task.wave.delta_of(task.head, g);
  std::fill(lse + q_begin, lse + padded, R(0));
  std::fill(delta + q_begin, delta + padded, R(0));
  for (Index i = q_begin; i < q_end; ++i) {
    const R of_row = task.call.forward.lse(task.b, h, i);
    lse[i] = is_masked(of_row) ? R(0) : of_row;
  }
  if constexpr (std::is_same_v<T, R>) {
    const auto dots = simd::for_isa<R, RowDots<R>, R*, Index>(task.call.kernels.isa);
    for (Index row = q_begin; row < q_end; row += plan.rows) {
      const Index count = std::min<Index>(plan.rows, q_end - row);
      const auto rows_of = [&](const View<const T, 4>& x, R* to) {
        return pack_rows(task.call.kernels, x.matrix(task.b, h), row, count, R(1), to).data;
      };
      dots(RowDots<R>{rows_of(task.call.d_out, task.scratch.d_out),
                      rows_of(task.call.out, task.scratch.d_out_columns), task.shape().Dv},
           delta + row, count);
    }
  } else {
    for (Index begin = 0; begin < task.shape().Lk; begin += plan.block) {
      const auto block = load_block(task, begin, std::min(begin + plan.block, task.shape().Lk));
      for_each_query_tiles(task, block, g, q_begin, q_end, [&](const auto& tiles, Index row) {
        tiles.weights(lse + row);
        tiles.weight_gradients();
        task.call.gradients.add_row_dots(tiles.p, tiles.d_p, delta + row);
      });
    }
  }
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
// Time 2.5 times the forward call's, for half types 3.5 times. Scratch O(Lq·D·spans) for each head
// of a wave, with at most 8 spans, and O(workers·block·(D + Dv)).
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
  std::byte* scratch = memory + carver.used();
  for (Index first = 0; first < heads; first += plan.heads) {
    const Index count = std::min(plan.heads, heads - first);
    const auto task_of = [&](Index head, int worker) {
      Carver own(scratch + worker * worker_bytes);
      return BackwardTask<T, M, S>{call,
                                   wave,
                                   head,
                                   (first + head) / shape.Hkv,
                                   (first + head) % shape.Hkv,
                                   BackwardScratch<R>(own, shape, plan)};
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
    parallel_for(count * plan.spans, plan.workers, executor, [&](Index index, int worker) {
      backward_span(task_of(index % count, worker), index / count);
    });
    for_each_rows([&](const auto& task, Index g, Index begin, Index end) {
      for (Index row = begin; row < end; row += plan.rows) {
        store_d_q(task, g, row, std::min<Index>(plan.rows, end - row));
      }
    });
  }
}

}  // namespace HEED_ABI
}  // namespace heed
