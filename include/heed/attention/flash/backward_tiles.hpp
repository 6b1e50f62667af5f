// The five products of some queries and a KV block, and the steps between them.
#pragma once

#include <algorithm>

#include "heed/attention/flash/backward_epilogue.hpp"
#include "heed/attention/flash/backward_scores.hpp"
#include "heed/attention/flash/backward_task.hpp"
#include "heed/attention/flash/block_mask.hpp"

namespace heed {

inline namespace HEED_ABI {

// True where the derivatives of a score are found with its values; a score that asks for gradients
// of what it holds reads its scores again.
template <class S, class BoundScore>
inline constexpr bool finds_slopes =
    score::gradient_count<S> == 0 && !score::unit_derivative<BoundScore>;

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
    auto q = pack_rows(kernels, forward.q.matrix(at.b, at.h), at.q_begin, at.q_end - at.q_begin,
                       folds ? scale : R(1), task.scratch.q);
    if (folds && !kernels.folds_scale) q.scale = scale;
    kernels.gemm.qk(q, block.kt, p);
    if (folds_scale<BoundScore> && !folds) {
      const auto multiply = simd::for_isa<R, ScaleTile<R>, R*, int>(kernels.isa);
      p.for_each_live_tile([&](R* tile) { multiply(ScaleTile<R>{scale}, tile, p.shape.mr); });
    }
    if constexpr (finds_slopes<S, BoundScore>) {
      modify_with_slopes(p, task.scratch.scores, at, bound_score, scale, kernels.isa);
      apply_epilogue(p, at, bound_mask, score::None{}, scale, kernels.isa);
    } else {
      if (task.call.plan.keeps_scores)
        std::copy_n(p.data, p.tiles() * p.tile_size(), task.scratch.scores);
      apply_epilogue(p, at, bound_mask, bound_score, scale, kernels.isa);
    }
    task.call.gradients.probabilities(p, lse);
  }

  void weight_gradients() const {
    const simd::PackedKernels<T>& kernels = task.call.kernels;
    const auto d_out = pack_rows(kernels, task.call.d_out.matrix(at.b, at.h), at.q_begin,
                                 at.q_end - at.q_begin, R(1), task.scratch.d_out);
    kernels.gemm.qk(d_out, block.vt, d_p);
    if (task.call.plan.drops) drop(kernels, d_p, at, task.call.forward.dropout);
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
      drop(task.call.kernels, kept, at, task.call.forward.dropout);
    }
    add_transposed(kept, task.call.d_out.matrix(at.b, at.h), task.scratch.d_out_columns, block.d_v);
  }

  // d_p becomes the gradient of the scaled products of q and k.
  void score_gradients(const R* delta) const {
    task.call.gradients.score_gradient(p, d_p, delta);
    if constexpr (score::gradient_count < S >> 0) {
      const Index group = at.h - task.query_head(0), span = block.begin / task.call.plan.span;
      backward_score<S>(d_p, task.scratch.scores, at, bound_score,
                        head_sums(task.sums, at.b, at.h, task.sums_of(span, group)),
                        static_cast<R>(task.call.forward.scale), task.call.kernels.isa);
    } else if constexpr (finds_slopes<S, BoundScore>) {
      multiply_slopes(d_p, task.scratch.scores, at, task.call.kernels.isa);
    }
  }

  void add_d_k() const {
    add_transposed(d_p, task.call.forward.q.matrix(at.b, at.h), task.scratch.q_columns, block.d_k);
  }

  void add_d_q(const simd::Accumulator<R>& d_q) const {
    if (block.finite) {
      task.call.gradients.pv(d_p, block.k, d_q);
    } else {
      task.call.gradients.find_unmasked(p, task.scratch.unmasked);
      task.call.gradients.pv_masked(d_p, block.k, task.scratch.unmasked, d_q);
    }
  }
};

// f(tiles, row) for all queries of head g that see a key of the block, some row tiles at a time.
template <class T, class M, class S, class F>
void for_each_query_tiles(const BackwardTask<T, M, S>& task, BackwardBlock<Accum<T>>& block,
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
    if (!tiles.cover()) continue;
    pack_block(task, block);
    f(tiles, row);
  }
}

}  // namespace HEED_ABI
}  // namespace heed
