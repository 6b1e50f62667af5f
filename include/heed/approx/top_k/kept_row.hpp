// The backward pass of one row of top-k, through the keys that it keeps.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "heed/approx/top_k/kept_keys.hpp"
#include "heed/approx/top_k/task.hpp"
#include "heed/score/score.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// Scratch of one worker for the rows' gradients.
template <class R>
struct KeptRowScratch {
  R *q, *d_out;     // PackedA, [1, D] and [1, Dv]
  R* keys;          // [keep, D]
  R *scores, *d_p;  // ScoreTiles, [1, keep]
  R* d_q;           // Accumulator, [1, D]

  KeptRowScratch(Carver& carver, const simd::TileShape& tiles, const Shape& shape, Index keep)
      : q(carver.array<R>(simd::PackedA<R>::size(tiles, tiles.mr, shape.D))),
        d_out(carver.array<R>(simd::PackedA<R>::size(tiles, tiles.mr, shape.Dv))),
        keys(carver.array<R>(checked_product(keep, shape.D))),
        scores(carver.array<R>(simd::ScoreTiles<R>::size(tiles, 1, keep))),
        d_p(carver.array<R>(simd::ScoreTiles<R>::size(tiles, 1, keep))),
        d_q(carver.array<R>(simd::Accumulator<R>::size(tiles, 1, tiles.columns(shape.D)))) {}
};

// The kept keys of query i of head h, their weights and the gradients of their scores; d_q.
//   forward: o = Σ p·v; so: d_p = d_o·v, d_m = p (d_p − Σ p·d_p), d_q = scale · Σ d_s·k
template <class T, class M, class S, class Kv>
class KeptRow {
 public:
  using R = Accum<T>;

  KeptRow(const TopKTask<T, M, S, Kv>& task, const KeptRowScratch<R>& scratch,
          const TopKSelector<R>& best, const KeptKeys<R>& kept, Index h, int i)
      : task_(task),
        scratch_(scratch),
        best_(best),
        kept_(kept),
        h_(h),
        i_(i),
        at_((task.flash.rows.b * task.problem.shape.Hq + h) * task.problem.shape.Lq + i) {}

  // p, of the softmax that the row's task has just computed.
  void keep_weights(const simd::ScoreTiles<R>& weights) {
    const R sum = task_.state().sum[0];
    count_ = sum == R(0) ? 0 : static_cast<int>(best_.count);
    kept_.counts[at_] = count_;
    std::copy_n(best_.keys, count_, kept_.keys + at_ * kept_.keep);
    for (int n = 0; n < count_; ++n) p()[n] = weights.at(0, n) / sum;
  }
  // The gradients of the scores, once weights are kept.
  void keep_score_gradients(const View<const T, 4>& d_out) const {
    const auto d_p = row_of(scratch_.d_p);
    task_.kernels.copy_rows(row(d_out), R(1), scratch_.d_out);
    task_.unpacked.qk(packed(scratch_.d_out, shape().Dv),
                      matrix_of<const R>(task_.scratch.values, count_, shape().Dv), d_p);
    R delta = 0;
    for (int n = 0; n < count_; ++n) {
      if (p()[n] != R(0)) delta += p()[n] * d_p.at(0, n);
    }
    copy_keys();
    const auto scores = row_of(scratch_.scores);
    differentiate_scores(scores);
    R* const d_scores = kept_.d_scores + at_ * kept_.keep;
    for (int n = 0; n < count_; ++n) {
      R d = p()[n] == R(0) ? R(0) : p()[n] * (d_p.at(0, n) - delta);
      if constexpr (!unit_derivative) d = d == R(0) ? R(0) : d * scores.at(0, n);
      scores.at(0, n) = d;
      d_scores[n] = scale() * d;
    }
  }
  // d_q, from the gradients of the scores.
  void store_d_q(const View<T, 4>& d_q) const {
    const simd::TileShape& tiles = task_.flash.plan.tile_shape;
    const simd::Accumulator<R> sums{scratch_.d_q, tiles.columns(shape().D), tiles};
    std::fill_n(sums.data, sums.size(tiles, 1, sums.columns), R(0));
    task_.unpacked.pv(row_of(scratch_.scores), keys(), sums);
    const R factor = scale();
    task_.kernels.of_tensors.store_rows(sums, 0, &factor, row(d_q));
  }

 private:
  using BoundScore =
      std::remove_cvref_t<decltype(std::declval<TopKTask<T, M, S, Kv>>().flash.heads[0].score)>;
  static constexpr bool unit_derivative = score::unit_derivative<BoundScore>;

  const Shape& shape() const { return task_.problem.shape; }
  R scale() const { return static_cast<R>(task_.problem.scale); }
  R* p() const { return kept_.weights + at_ * kept_.keep; }
  View<const R, 2> keys() const { return matrix_of<const R>(scratch_.keys, count_, shape().D); }
  template <class X>
  View<X, 2> row(const View<X, 4>& x) const {
    return slice(x.matrix(task_.flash.rows.b, h_), i_, 1);
  }
  simd::ScoreTiles<R> row_of(R* data) const {
    return simd::ScoreTiles<R>::of(task_.flash.plan.tile_shape, data, task_.scratch.coverage, 1,
                                   count_);
  }
  simd::PackedA<const R> packed(R* data, Index columns) const {
    return {data, columns, task_.flash.plan.tile_shape};
  }

  void copy_keys() const {
    const auto k = task_.problem.k.matrix(task_.flash.rows.b, task_.flash.kv_head());
    for (int n = 0; n < count_; ++n) {
      task_.kernels.copy_rows(slice(k, best_.keys[n], 1), R(1), scratch_.keys + n * shape().D);
    }
  }
  // to = the score's derivative at q·k of the kept keys.
  void differentiate_scores(const simd::ScoreTiles<R>& to) const {
    if constexpr (!unit_derivative) {
      const auto& score = task_.flash.heads[h_].score;
      task_.kernels.copy_rows(row(task_.problem.q), R(1), scratch_.q);
      task_.unpacked.qk(packed(scratch_.q, shape().D), keys(), to);
      for (int n = 0; n < count_; ++n) {
        R& s = to.at(0, n);
        s = static_cast<R>(score.derivative(scale() * s, i_, best_.keys[n]));
      }
    }
  }

  const TopKTask<T, M, S, Kv>& task_;
  const KeptRowScratch<R>& scratch_;
  const TopKSelector<R>& best_;
  const KeptKeys<R>& kept_;
  Index h_;
  int i_;
  Index at_;  // of all rows
  int count_ = 0;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
