// One task of top-k: the scores of some queries pass by their rows, which keep the best; then each
// row attends to what it kept.
#pragma once

#include <algorithm>

#include "heed/approx/top_k/selector.hpp"
#include "heed/attention/flash/forward.hpp"
#include "heed/attention/flash/score_epilogue.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// Scratch of one worker besides that of its scores.
template <class R>
struct TopKScratch {
  TopKSelector<R>* rows;   // [rows of a task]
  SortKey<R>* ranks;       // [rows of a task, room]
  int* keys;               // [rows of a task, room]
  R* weights;              // [panels of keep, rows, panel], of one row: number 0
  R* values;               // [keep, Dv]
  R* acc;                  // [columns / panel, rows, panel], of one row
  R* max;                  // [rows]
  R* sum;                  // [rows]
  std::uint8_t* coverage;  // [panels of keep]

  [[gnu::always_inline]] TopKScratch(Carver& carver, const simd::TileShape& tile_shape,
                                     Index task_rows, int keep, Index Dv)
      : rows(carver.array<TopKSelector<R>>(task_rows)),
        ranks(
            carver.array<SortKey<R>>(checked_product(task_rows, TopKSelector<R>::room_for(keep)))),
        keys(carver.array<int>(checked_product(task_rows, TopKSelector<R>::room_for(keep)))),
        weights(carver.array<R>(tile_shape.panels(keep) * tile_shape.nr * tile_shape.mr)),
        values(carver.array<R>(checked_product(keep, Dv))),
        acc(carver.array<R>(checked_product(tile_shape.columns(Dv), tile_shape.mr))),
        max(carver.array<R>(tile_shape.mr)),
        sum(carver.array<R>(tile_shape.mr)),
        coverage(carver.array<std::uint8_t>(tile_shape.panels(keep))) {}
};

// A task of scores, and what becomes of them.
template <class T, class M, class S>
struct TopKTask {
  using R = Accum<T>;

  FlashTask<T, M, S> flash;   // of values without columns
  const Problem<T>& problem;  // with them
  int keep;
  TopKScratch<R> scratch;
};

// Without a score, keys are compared by q·k itself, which the scale only turns around or not; the
// rest of it comes in with the best.
template <class T, class M, class S>
void start_rows(const TopKTask<T, M, S>& task) {
  using R = Accum<T>;
  const FlashTask<T, M, S>& flash = task.flash;
  const double scale = task.problem.scale;
  const R sign = !folds_scale<S> || scale > 0 ? R(1) : scale < 0 ? R(-1) : R(0);
  const Index D = task.problem.shape.D;
  for_each_head_segment(
      flash.rows, 0, flash.rows.count(), [&](Index h, int row, int begin, int end) {
        flash.kernels().pack_a(slice(task.problem.q.matrix(flash.rows.b, h), begin, end - begin),
                               end - begin, sign, flash.scratch.q + row * D);
      });
  std::fill(flash.scratch.q + flash.rows.count() * D, flash.scratch.q + flash.plan.rows() * D,
            R(0));
  const Index room = TopKSelector<R>::room_for(task.keep);
  for (Index row = 0; row < flash.plan.rows(); ++row) {
    task.scratch.rows[row] = {
        task.scratch.ranks + row * room, task.scratch.keys + row * room, task.keep, room, 0,
        sort_key_of(mask_if(true, R(0)))};
  }
}

// The scores of one query sub-block of queries and one block of keys go to their rows.
template <class T, class M, class S>
void push_scores(const TopKTask<T, M, S>& task, int row, int begin, int keys, const BlockMask& map,
                 int panel) {
  using R = Accum<T>;
  const FlashTask<T, M, S>& flash = task.flash;
  const simd::TileShape& tile_shape = flash.plan.tile_shape;
  const int queries = std::min(flash.plan.q_inner * tile_shape.mr, flash.rows.count() - row);
  const auto args =
      make_tile_args(flash.scratch, flash.plan, flash.problem.shape, row, queries, keys);
  const mask::Coverage seen =
      map.copy(row / tile_shape.mr, args.m_tiles, panel, args.panels, flash.scratch.coverage);
  if (seen == mask::Coverage::Empty) return;
  flash.kernels().qk(args);
  if (!folds_scale<S> || keys % tile_shape.nr != 0 || seen != mask::Coverage::Full) {
    apply_epilogue(flash, args, row / tile_shape.mr, begin);
  }
  using Part = typename PushScores<R>::Part;
  const auto offer = simd::for_isa<R, PushScores<R>, R*, Part>(flash.isa);
  for (int g = 0; g < args.m_tiles; ++g) {
    const PushScores<R> rows{task.scratch.rows + row + g * tile_shape.mr};
    for (int p = 0; p < args.panels; ++p) {
      const Index at = Index{g} * args.panels + p;
      if (args.coverage[at] == 0) continue;
      const Part part{std::min(tile_shape.mr, queries - g * tile_shape.mr),
                      begin + p * tile_shape.nr};
      offer(rows, args.scores + at * tile_shape.mr * tile_shape.nr, part);
    }
  }
}

template <class T, class M, class S>
void push_all(const TopKTask<T, M, S>& task) {
  const FlashTask<T, M, S>& flash = task.flash;
  const Index Lk = task.problem.shape.Lk;
  const auto k = task.problem.k.matrix(flash.rows.b, flash.kv_head());
  for_each_live_block(flash, 0, Lk, [&](int begin, int keys, const BlockMask& map, int panel) {
    flash.kernels().pack_b_transposed(slice(k, begin, keys), keys, flash.scratch.kt);
    for (int row = 0; row < flash.rows.count();
         row += flash.plan.q_inner * flash.plan.tile_shape.mr) {
      push_scores(task, row, begin, keys, map, panel);
    }
  });
}

// acc = weights · values of the best keys of a row.
template <class T, class M, class S>
void weigh_best(const TopKTask<T, M, S>& task, const simd::TileArgs<Accum<T>>& args) {
  using R = Accum<T>;
  const Index Dv = task.problem.shape.Dv;
  std::fill_n(args.acc, args.columns * task.flash.plan.tile_shape.mr, R(0));
  const View<const R, 2> values{task.scratch.values, {args.keys, Dv}, {Dv, 1}};
  simd::kernels<R>(task.flash.isa).pv_unpacked(args, values);
}

// Softmax over the best keys of a row, in ascending order, and their values' mean under it.
template <class T, class M, class S>
simd::TileArgs<Accum<T>> attend_best(const TopKTask<T, M, S>& task, TopKSelector<Accum<T>>& best) {
  using R = Accum<T>;
  const TopKScratch<R>& scratch = task.scratch;
  const simd::TileShape& tile_shape = task.flash.plan.tile_shape;
  const Index Dv = task.problem.shape.Dv;
  const auto v = task.problem.v.matrix(task.flash.rows.b, task.flash.kv_head());
  const R factor = folds_scale<S> ? static_cast<R>(std::abs(task.problem.scale)) : R(1);
  simd::for_isa<R, Compact<R>, TopKSelector<R>*>(task.flash.isa)({}, &best);
  const Index padded = tile_shape.panels(best.count) * tile_shape.nr;
  for (Index n = 0; n < padded; ++n) {
    R& weight =
        scratch.weights[n / tile_shape.nr * tile_shape.mr * tile_shape.nr + n % tile_shape.nr];
    weight = n < best.count ? score_of_sort_key<R>(best.ranks[n]) * factor : mask_if(true, R(0));
    if (n >= best.count) continue;
    R* value = scratch.values + n * Dv;
    task.flash.kernels().pack_a(slice(v, best.keys[n], 1), 1, R(1), value);
    if (is_masked(weight)) std::fill_n(value, Dv, R(0));  // the factor made it −inf
  }
  std::fill_n(scratch.max, tile_shape.mr, softmax::Row<R>{}.max);
  std::fill_n(scratch.sum, tile_shape.mr, R(0));
  simd::TileArgs<R> args;
  args.queries = args.m_tiles = 1;
  args.panels = static_cast<int>(tile_shape.panels(best.count));
  args.keys = static_cast<int>(best.count);
  args.columns = tile_shape.columns(Dv);
  args.coverage = scratch.coverage;
  args.scores = scratch.weights;
  args.acc = scratch.acc;
  args.max = scratch.max;
  args.sum = scratch.sum;
  simd::kernels<R>(task.flash.isa).softmax(args);
  weigh_best(task, args);
  return args;
}

// out and lse of query i of head h, to which its best keys have been attended.
template <class T, class M, class S>
void write_best(const TopKTask<T, M, S>& task, const simd::TileArgs<Accum<T>>& args, Index h,
                int i) {
  using R = Accum<T>;
  const Index b = task.flash.rows.b;
  const softmax::Row<R> state{args.max[0], args.sum[0]};
  const auto out = slice(task.problem.out.matrix(b, h), i, 1);
  R factor = state.fully_masked() ? R(0) : R(1) / state.sum;
  task.problem.lse(b, h, i) = state.lse();
  const auto& kernels = task.flash.kernels();
  if (kernels.store_rows(args.acc, args.columns, 0, &factor, 1, out)) return;
  // The sum of the values overflows where their mean may not.
  const simd::TileShape& tile_shape = task.flash.plan.tile_shape;
  const R shrink = shrink_of<R>(args.keys);
  shrink_weights(args, Index{tile_shape.mr} * tile_shape.nr, shrink);
  weigh_best(task, args);
  factor /= shrink;
  kernels.store_rows(args.acc, args.columns, 0, &factor, 1, out);
}

template <class T, class M, class S>
void top_k_task(const TopKTask<T, M, S>& task) {
  using R = Accum<T>;
  const QueryBlock& rows = task.flash.rows;
  std::fill_n(task.scratch.coverage, task.flash.plan.tile_shape.panels(task.keep), std::uint8_t{1});
  std::fill_n(task.scratch.weights,
              task.flash.plan.tile_shape.panels(task.keep) * task.flash.plan.tile_shape.nr *
                  task.flash.plan.tile_shape.mr,
              R(0));
  start_rows(task);
  push_all(task);
  for_each_head_segment(rows, 0, rows.count(), [&](Index h, int row, int begin, int end) {
    for (int i = begin; i < end; ++i) {
      write_best(task, attend_best(task, task.scratch.rows[row + i - begin]), h, i);
    }
  });
}

}  // namespace HEED_ABI
}  // namespace heed::approx
