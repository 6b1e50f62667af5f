// One task of top-k: the scores of some queries pass by their rows, which keep the best; then each
// row attends to what it kept.
#pragma once

#include <algorithm>

#include "heed/approx/kernels.hpp"
#include "heed/approx/top_k/head_kv.hpp"
#include "heed/approx/top_k/selector.hpp"
#include "heed/attention/flash/forward.hpp"
#include "heed/attention/flash/score_epilogue.hpp"
#include "heed/kv/row_runs.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// Scratch of one worker besides that of its scores.
template <class R>
struct TopKScratch {
  TopKSelector<R>* rows;   // [rows of a task]
  SortKey<R>* ranks;       // [rows of a task, room]
  int* keys;               // [rows of a task, room]
  R* weights;              // ScoreTiles, [1, keep]
  R* values;               // [keep, Dv]
  R* acc;                  // Accumulator, [1, Dv]
  R* max;                  // [rows]
  R* sum;                  // [rows]
  std::uint8_t* coverage;  // [panels of keep]

  [[gnu::always_inline]] TopKScratch(Carver& carver, const simd::TileShape& tile_shape,
                                     Index task_rows, int keep, Index Dv)
      : rows(carver.array<TopKSelector<R>>(task_rows)),
        ranks(
            carver.array<SortKey<R>>(checked_product(task_rows, TopKSelector<R>::room_for(keep)))),
        keys(carver.array<int>(checked_product(task_rows, TopKSelector<R>::room_for(keep)))),
        weights(carver.array<R>(simd::ScoreTiles<R>::size(tile_shape, 1, keep))),
        values(carver.array<R>(checked_product(keep, Dv))),
        acc(carver.array<R>(simd::Accumulator<R>::size(tile_shape, 1, tile_shape.columns(Dv)))),
        max(carver.array<R>(tile_shape.mr)),
        sum(carver.array<R>(tile_shape.mr)),
        coverage(carver.array<std::uint8_t>(tile_shape.panels(keep))) {}
};

//   Kv  HeadKv of the task's head
template <class T, class M, class S, class Kv>
struct TopKTask {
  using R = Accum<T>;

  FlashTask<T, M, S> flash;   // of values without columns
  const Problem<T>& problem;  // with them; its k and v are not looked at
  const Kv& kv;
  int keep;
  TopKScratch<R> scratch;
  const CallKernels<T>& kernels;
  const simd::UnpackedKernels<R>& unpacked;

  simd::RowState<R> state() const {
    const simd::TileShape& shape = flash.plan.tile_shape;
    return {scratch.max, scratch.sum, {scratch.acc, shape.columns(problem.shape.Dv), shape}};
  }
};

// Without a score, keys are compared by q·k itself, which the scale only turns around or not; the
// rest of it comes in with the best.
template <class T, class M, class S, class Kv>
void start_rows(const TopKTask<T, M, S, Kv>& task) {
  using R = Accum<T>;
  const FlashTask<T, M, S>& flash = task.flash;
  const double scale = task.problem.scale;
  const R sign = !folds_scale<S> || scale > 0 ? R(1) : scale < 0 ? R(-1) : R(0);
  const simd::PackedA<R>& q = flash.scratch.q;
  for_each_head_segment(flash.rows, 0, flash.rows.count(),
                        [&](Index h, int row, int begin, int end) {
                          task.kernels.of_tensors.pack_a(
                              slice(task.problem.q.matrix(flash.rows.b, h), begin, end - begin),
                              sign, q.from_row(row));
                        });
  std::fill(q.row(flash.rows.count()), q.row(flash.plan.rows()), R(0));
  const Index room = TopKSelector<R>::room_for(task.keep);
  for (Index row = 0; row < flash.plan.rows(); ++row) {
    task.scratch.rows[row] = {
        task.scratch.ranks + row * room, task.scratch.keys + row * room, task.keep, room, 0,
        sort_key_of(mask_if(true, R(0)))};
  }
}

// The scores of one query sub-block of queries and one block of keys go to their rows.
template <class T, class M, class S, class Kv, class U>
void push_scores(const TopKTask<T, M, S, Kv>& task, int row, const KvBlock<U>& block,
                 const BlockMask& map, int panel) {
  using R = Accum<T>;
  const FlashTask<T, M, S>& flash = task.flash;
  const simd::TileShape& tile_shape = flash.plan.tile_shape;
  const int queries = std::min(flash.plan.q_inner * tile_shape.mr, flash.rows.count() - row);
  const int tile = tile_shape.tile_of(row);
  auto args = make_tile_args(flash.scratch, flash.state, row, queries, block.keys);
  args.kt.data = block.packed_keys;
  const simd::ScoreTiles<R>& scores = args.scores;
  const mask::Coverage seen =
      map.copy(tile, scores.m_tiles, panel, scores.panels, flash.scratch.coverage);
  if (seen == mask::Coverage::Empty) return;
  task.kernels.of_tensors.gemm.qk(args.q, args.kt, scores);
  apply_epilogue(flash, scores, tile, block.begin, seen);
  using Part = typename PushScores<R>::Part;
  const auto push = simd::for_isa<R, PushScores<R>, R*, Part>(flash.kernels.packed.isa);
  for (int g = 0; g < scores.m_tiles; ++g) {
    const PushScores<R> rows{task.scratch.rows + row + g * tile_shape.mr};
    for (int p = 0; p < scores.panels; ++p) {
      if (!scores.live(g, p)) continue;
      const Part part{std::min(tile_shape.mr, queries - g * tile_shape.mr),
                      block.begin + p * tile_shape.nr};
      push(rows, scores.tile(g, p), part);
    }
  }
}

template <class T, class M, class S, class Kv>
void push_all(const TopKTask<T, M, S, Kv>& task) {
  const FlashTask<T, M, S>& flash = task.flash;
  const int rows = flash.plan.q_inner * flash.plan.tile_shape.mr;
  KvBlock<typename Kv::Scalar> block;
  block.last = task.kv.length;
  const auto push = [&](int begin, int keys, const BlockMask& map, int panel) {
    load_kv(flash, task.kv, begin, keys, true, block);
    for (int row = 0; row < flash.rows.count(); row += rows) {
      push_scores(task, row, block, map, panel);
    }
  };
  for_each_live_block(flash, 0, task.kv.length, push);
}

// acc = weights · values of the best keys of a row.
template <class T, class M, class S, class Kv>
void weigh_best(const TopKTask<T, M, S, Kv>& task, const simd::ScoreTiles<Accum<T>>& weights) {
  using R = Accum<T>;
  const Index Dv = task.problem.shape.Dv;
  const simd::Accumulator<R> acc = task.state().acc;
  std::fill_n(acc.data, acc.size(acc.shape, 1, acc.columns), R(0));
  const View<const R, 2> values{task.scratch.values, {weights.columns, Dv}, {Dv, 1}};
  task.unpacked.pv(weights, values, acc);
}

// to = the values of a key.
template <class T, class M, class S, class Kv>
void copy_value(const TopKTask<T, M, S, Kv>& task, Index key, Accum<T>* to) {
  using U = typename Kv::Scalar;
  const Shape& shape = task.problem.shape;
  const simd::TileShape& tile_shape = task.flash.plan.tile_shape;
  const auto copy = [&](Index, const auto&, const View<const U, 2>& v) {
    packed_kernels_of<U>(task.kernels.of_tensors).pack_a(v, 1, {to, shape.Dv, tile_shape});
  };
  kv::for_each_row_run<U>(task.kv.source, {shape.D, shape.Dv, tile_shape.nr}, key, key + 1, copy);
}

// Leaves out the keys whose scores the scale makes −inf: they count as masked.
template <class R>
void drop_masked(TopKSelector<R>& best, R factor) {
  Index count = 0;
  for (Index n = 0; n < best.count; ++n) {
    if (is_masked(score_of_sort_key<R>(best.ranks[n]) * factor)) continue;
    best.ranks[count] = best.ranks[n];
    best.keys[count++] = best.keys[n];
  }
  best.count = count;
}

// Softmax over the best keys of a row, in ascending order, and their values' mean under it. Returns
// the weights.
template <class T, class M, class S, class Kv>
simd::ScoreTiles<Accum<T>> attend_best(const TopKTask<T, M, S, Kv>& task,
                                       TopKSelector<Accum<T>>& best) {
  using R = Accum<T>;
  const TopKScratch<R>& scratch = task.scratch;
  const simd::TileShape& tile_shape = task.flash.plan.tile_shape;
  const Index Dv = task.problem.shape.Dv;
  const R factor = folds_scale<S> ? static_cast<R>(std::abs(task.problem.scale)) : R(1);
  simd::for_isa<R, Compact<R>, TopKSelector<R>*>(task.flash.kernels.packed.isa)({}, &best);
  if (factor > R(1)) drop_masked(best, factor);
  const auto weights =
      simd::ScoreTiles<R>::of(tile_shape, scratch.weights, scratch.coverage, 1, best.count);
  const Index padded = tile_shape.columns_in_panels(best.count);
  for (Index n = 0; n < padded; ++n) {
    R& weight = weights.at(0, n);
    weight = n < best.count ? score_of_sort_key<R>(best.ranks[n]) * factor : mask_if(true, R(0));
    if (n >= best.count) continue;
    copy_value(task, best.keys[n], scratch.values + n * Dv);
  }
  std::fill_n(scratch.max, tile_shape.mr, softmax::Row<R>{}.max);
  std::fill_n(scratch.sum, tile_shape.mr, R(0));
  task.kernels.of_sums.softmax(weights, task.state());
  weigh_best(task, weights);
  return weights;
}

// out and lse of query i of head h, to which its best keys have been attended.
template <class T, class M, class S, class Kv>
void write_best(const TopKTask<T, M, S, Kv>& task, const simd::ScoreTiles<Accum<T>>& weights,
                Index h, int i) {
  using R = Accum<T>;
  const Index b = task.flash.rows.b;
  const simd::RowState<R> rows = task.state();
  const softmax::Row<R> state{rows.max[0], rows.sum[0]};
  const auto out = slice(task.problem.out.matrix(b, h), i, 1);
  R factor = state.fully_masked() ? R(0) : R(1) / state.sum;
  task.problem.lse(b, h, i) = state.lse();
  const simd::PackedKernels<T>& kernels = task.kernels.of_tensors;
  if (kernels.store_rows(rows.acc, 0, &factor, out)) return;
  // The sum of the values overflows where their mean may not.
  const R shrink = shrink_of<R>(weights.columns);
  shrink_weights(weights, shrink);
  weigh_best(task, weights);
  factor /= shrink;
  kernels.store_rows(rows.acc, 0, &factor, out);
}

// f(best keys, h, i) for each query of a task, when all keys have passed by.
template <class T, class M, class S, class Kv, class F>
void for_each_best(const TopKTask<T, M, S, Kv>& task, F&& f) {
  using R = Accum<T>;
  const QueryBlock& rows = task.flash.rows;
  const simd::TileShape& shape = task.flash.plan.tile_shape;
  std::fill_n(task.scratch.coverage, shape.panels(task.keep), std::uint8_t{1});
  std::fill_n(task.scratch.weights, simd::ScoreTiles<R>::size(shape, 1, task.keep), R(0));
  start_rows(task);
  push_all(task);
  for_each_head_segment(rows, 0, rows.count(), [&](Index h, int row, int begin, int end) {
    for (int i = begin; i < end; ++i) f(task.scratch.rows[row + i - begin], h, i);
  });
}

template <class T, class M, class S, class Kv>
void top_k_task(const TopKTask<T, M, S, Kv>& task) {
  for_each_best(
      task, [&](auto& best, Index h, int i) { write_best(task, attend_best(task, best), h, i); });
}

}  // namespace HEED_ABI
}  // namespace heed::approx
