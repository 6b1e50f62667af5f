// The kept keys of all rows with their weights and the gradients of their scores: row by row from
// the queries' side, then added up from the keys' side.
#pragma once

#include <algorithm>

#include "heed/approx/top_k/task.hpp"
#include "heed/attention/backward.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// [B, Hq, Lq] rows of `keep` keys each.
template <class R>
struct KeptKeys {
  int* counts;  // [rows]
  int* keys;    // [rows, keep], in ascending order
  R* weights;   // [rows, keep], p
  R* d_scores;  // [rows, keep], scale · the gradient of the scaled product q·k
  Index keep;

  static KeptKeys carve(Carver& carver, const Shape& shape, Index keep) {
    const Index rows = checked_product(checked_product(shape.B, shape.Hq), shape.Lq);
    const Index all = checked_product(rows, keep);
    KeptKeys kept{};
    kept.counts = carver.array<int>(rows);
    kept.keys = carver.array<int>(all);
    kept.weights = carver.array<R>(all);
    kept.d_scores = carver.array<R>(all);
    kept.keep = keep;
    return kept;
  }
};

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
void backward_row(const TopKTask<T, M, S, Kv>& task, const KeptRowScratch<Accum<T>>& scratch,
                  TopKSelector<Accum<T>>& best, const View<const T, 4>& d_out, Index h, int i,
                  const View<T, 4>& d_q, const KeptKeys<Accum<T>>& kept) {
  using R = Accum<T>;
  const Problem<T>& problem = task.problem;
  const Shape& shape = problem.shape;
  const simd::TileShape& tiles = task.flash.plan.tile_shape;
  const Index b = task.flash.rows.b, at = (b * shape.Hq + h) * shape.Lq + i;
  const auto weights = attend_best(task, best);
  const R sum = task.state().sum[0];
  const int count = sum == R(0) ? 0 : static_cast<int>(best.count);
  kept.counts[at] = count;
  std::copy_n(best.keys, count, kept.keys + at * kept.keep);
  const auto row_of = [&](R* data) {
    return simd::ScoreTiles<R>::of(tiles, data, task.scratch.coverage, 1, count);
  };
  const auto d_p = row_of(scratch.d_p), scores = row_of(scratch.scores);
  task.kernels.copy_rows(slice(d_out.matrix(b, h), i, 1), R(1), scratch.d_out);
  task.unpacked.qk(simd::PackedA<const R>{scratch.d_out, shape.Dv, tiles},
                   matrix_of<const R>(task.scratch.values, count, shape.Dv), d_p);
  R delta = 0;
  R* const p = kept.weights + at * kept.keep;
  for (int n = 0; n < count; ++n) {
    p[n] = weights.at(0, n) / sum;
    if (p[n] != R(0)) delta += p[n] * d_p.at(0, n);
    task.kernels.copy_rows(slice(problem.k.matrix(b, task.flash.kv_head()), best.keys[n], 1), R(1),
                           scratch.keys + n * shape.D);
  }
  const auto keys = matrix_of<const R>(scratch.keys, count, shape.D);
  const auto& score = task.flash.heads[h].score;
  const R scale = static_cast<R>(problem.scale);
  if constexpr (!score::unit_derivative<decltype(score)>) {
    task.kernels.copy_rows(slice(problem.q.matrix(b, h), i, 1), R(1), scratch.q);
    task.unpacked.qk(simd::PackedA<const R>{scratch.q, shape.D, tiles}, keys, scores);
  }
  R* const d_scores = kept.d_scores + at * kept.keep;
  for (int n = 0; n < count; ++n) {
    R d = p[n] == R(0) ? R(0) : p[n] * (d_p.at(0, n) - delta);
    if constexpr (!score::unit_derivative<decltype(score)>) {
      const R slope = static_cast<R>(score.derivative(scale * scores.at(0, n), i, best.keys[n]));
      d = d == R(0) ? R(0) : d * slope;
    }
    scores.at(0, n) = d;
    d_scores[n] = scale * d;
  }
  const simd::Accumulator<R> sums{scratch.d_q, tiles.columns(shape.D), tiles};
  std::fill_n(sums.data, sums.size(tiles, 1, sums.columns), R(0));
  task.unpacked.pv(scores, keys, sums);
  task.kernels.of_tensors.store_rows(sums, 0, &scale, slice(d_q.matrix(b, h), i, 1));
}

// sums[key − first] += weight · x for some keys of a row, in whole panels of columns.
template <class R>
struct AddToKeys {
  const int* keys;
  const R* weights;
  int first;
  Index columns;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* sums, const R* x, const int& count) const {
    for (int n = 0; n < count; ++n) {
      R* to = sums + (keys[n] - first) * columns;
      const R weight = weights[n];
      for (Index p = 0; p < columns; p += Panel) {
        for (int c = 0; c < Panel; ++c) to[p + c] += weight * x[p + c];
      }
    }
  }
};

// Sums of some keys: d = Σ weight · row of x over the rows of the group that keep them, in
// ascending order of head and query.
template <class T>
struct SumOfKeys {
  using R = Accum<T>;

  const CallKernels<T>& kernels;
  const KeptKeys<R>& kept;
  const R* weights;  // of the kept keys
  const Shape& shape;
  const View<const T, 4>& x;  // [B, Hq, Lq, n]
  const View<T, 4>& d;        // [B, Hkv, Lk, n]

  Index columns() const {
    return kernels.of_sums.tile_shape.panels(x.extent[3]) * kernels.of_sums.tile_shape.nr;
  }

  // sums [end − begin, columns], row [columns]
  void operator()(Index b, Index kv_head, Index begin, Index end, R* sums, R* row) const {
    const auto add = simd::for_isa<R, AddToKeys<R>, R*, const R*, int>(kernels.of_sums.isa);
    std::fill_n(sums, (end - begin) * columns(), R(0));
    std::fill_n(row, columns(), R(0));
    for (Index h = kv_head * shape.group(); h < (kv_head + 1) * shape.group(); ++h) {
      for (Index i = 0; i < shape.Lq; ++i) {
        const Index at = (b * shape.Hq + h) * shape.Lq + i;
        const int* keys = kept.keys + at * kept.keep;
        const int* const last = keys + kept.counts[at];
        const int* from = std::lower_bound(keys, last, static_cast<int>(begin));
        const auto count =
            static_cast<int>(std::lower_bound(from, last, static_cast<int>(end)) - from);
        if (count == 0) continue;
        kernels.copy_rows(slice(x.matrix(b, h), i, 1), R(1), row);
        add(AddToKeys<R>{from, weights + (from - kept.keys), static_cast<int>(begin), columns()},
            sums, row, count);
      }
    }
    for (Index j = begin; j < end; ++j) {
      for (Index n = 0; n < x.extent[3]; ++n) {
        d(b, kv_head, j, n) = static_cast<T>(sums[(j - begin) * columns() + n]);
      }
    }
  }
};

}  // namespace HEED_ABI
}  // namespace heed::approx
