// One task of top-k: the scores of some queries pass by their rows, which keep the best; then each
// row attends to what it kept.
#pragma once

#include <algorithm>

#include "heed/approx/best_keys.hpp"
#include "heed/attention/flash_cells.hpp"
#include "heed/attention/flash_forward.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// What one worker needs besides the scratch of its scores.
template <class R>
struct TopKScratch {
  BestKeys<R>* rows;   // [rows of a task]
  Rank<R>* ranks;      // [rows of a task, room]
  int* keys;           // [rows of a task, room]
  R* weights;          // [panels of keep, rows, panel], of one row: number 0
  R* values;           // [keep, Dv]
  R* acc;              // [columns / panel, rows, panel], of one row
  R* max;              // [rows]
  R* sum;              // [rows]
  std::uint8_t* live;  // [panels of keep]

  [[gnu::always_inline]] TopKScratch(Carver& carver, const simd::Geometry& cell, Index task_rows,
                                     int keep, Index Dv)
      : rows(carver.array<BestKeys<R>>(task_rows)),
        ranks(carver.array<Rank<R>>(checked_product(task_rows, BestKeys<R>::room_for(keep)))),
        keys(carver.array<int>(checked_product(task_rows, BestKeys<R>::room_for(keep)))),
        weights(carver.array<R>(cell.panels(keep) * cell.panel * cell.rows)),
        values(carver.array<R>(checked_product(keep, Dv))),
        acc(carver.array<R>(checked_product(cell.columns(Dv), cell.rows))),
        max(carver.array<R>(cell.rows)),
        sum(carver.array<R>(cell.rows)),
        live(carver.array<std::uint8_t>(cell.panels(keep))) {}
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
  for_each_stretch(flash.rows, 0, flash.rows.count(), [&](Index h, int row, int begin, int end) {
    flash.kernels().load_rows(slice(task.problem.q.matrix(flash.rows.b, h), begin, end - begin),
                              end - begin, sign, flash.scratch.q + row * D);
  });
  std::fill(flash.scratch.q + flash.rows.count() * D, flash.scratch.q + flash.plan.rows() * D,
            R(0));
  const Index room = BestKeys<R>::room_for(task.keep);
  for (Index row = 0; row < flash.plan.rows(); ++row) {
    task.scratch.rows[row] = {
        task.scratch.ranks + row * room,   task.scratch.keys + row * room, task.keep, room, 0,
        rank_of_score(mask_if(true, R(0)))};
  }
}

// The scores of one strip of queries and one block of keys go to their rows.
template <class T, class M, class S>
void offer_strip(const TopKTask<T, M, S>& task, int row, int begin, int keys, const CellMap& map,
                 int panel) {
  using R = Accum<T>;
  const FlashTask<T, M, S>& flash = task.flash;
  const simd::Geometry& cell = flash.plan.cell;
  const int queries = std::min(flash.plan.strip * cell.rows, flash.rows.count() - row);
  const auto strip = make_strip(flash.scratch, flash.plan, flash.problem.shape, row, queries, keys);
  const mask::Coverage seen =
      map.copy(row / cell.rows, strip.groups, panel, strip.panels, flash.scratch.live);
  if (seen == mask::Coverage::Empty) return;
  flash.kernels().dots(strip);
  if (!folds_scale<S> || keys % cell.panel != 0 || seen != mask::Coverage::Full) {
    const R scale = folds_scale<S> ? R(1) : static_cast<R>(flash.problem.scale);
    rewrite_strip(flash, strip, row / cell.rows, begin, scale);
  }
  using Part = typename OfferCell<R>::Part;
  const auto offer = simd::rewriter<R, OfferCell<R>, Part>(flash.isa);
  for (int g = 0; g < strip.groups; ++g) {
    const OfferCell<R> rows{task.scratch.rows + row + g * cell.rows};
    for (int p = 0; p < strip.panels; ++p) {
      const Index at = Index{g} * strip.panels + p;
      if (strip.live[at] == 0) continue;
      const Part part{std::min(cell.rows, queries - g * cell.rows), begin + p * cell.panel};
      offer(rows, strip.scores + at * cell.rows * cell.panel, part);
    }
  }
}

template <class T, class M, class S>
void offer_all(const TopKTask<T, M, S>& task) {
  const FlashTask<T, M, S>& flash = task.flash;
  const Index Lk = task.problem.shape.Lk;
  const auto k = task.problem.k.matrix(flash.rows.b, flash.kv_head());
  for_each_live_block(flash, 0, Lk, [&](int begin, int keys, const CellMap& map, int panel) {
    flash.kernels().pack_keys(slice(k, begin, keys), keys, flash.scratch.kt);
    for (int row = 0; row < flash.rows.count(); row += flash.plan.strip * flash.plan.cell.rows) {
      offer_strip(task, row, begin, keys, map, panel);
    }
  });
}

// acc = weights · values of the best keys of a row.
template <class T, class M, class S>
void weigh_best(const TopKTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip) {
  using R = Accum<T>;
  const Index Dv = task.problem.shape.Dv;
  std::fill_n(strip.acc, strip.columns * task.flash.plan.cell.rows, R(0));
  const View<const R, 2> values{task.scratch.values, {strip.keys, Dv}, {Dv, 1}};
  simd::kernels<R>(task.flash.isa).accumulate_direct(strip, values);
}

// Softmax over the best keys of a row, in ascending order, and their values' mean under it.
template <class T, class M, class S>
simd::Strip<Accum<T>> attend_best(const TopKTask<T, M, S>& task, BestKeys<Accum<T>>& best) {
  using R = Accum<T>;
  const TopKScratch<R>& scratch = task.scratch;
  const simd::Geometry& cell = task.flash.plan.cell;
  const Index Dv = task.problem.shape.Dv;
  const auto v = task.problem.v.matrix(task.flash.rows.b, task.flash.kv_head());
  const R factor = folds_scale<S> ? static_cast<R>(std::abs(task.problem.scale)) : R(1);
  BestKeys<R>* const row = &best;
  simd::rewriter<R, DropRest<R>, BestKeys<R>*>(task.flash.isa)({}, nullptr, row);
  const Index padded = cell.panels(best.count) * cell.panel;
  for (Index n = 0; n < padded; ++n) {
    R& weight = scratch.weights[n / cell.panel * cell.rows * cell.panel + n % cell.panel];
    weight = n < best.count ? score_of_rank<R>(best.ranks[n]) * factor : mask_if(true, R(0));
    if (n >= best.count) continue;
    R* value = scratch.values + n * Dv;
    task.flash.kernels().load_rows(slice(v, best.keys[n], 1), 1, R(1), value);
    if (is_masked(weight)) std::fill_n(value, Dv, R(0));  // the factor made it −inf
  }
  std::fill_n(scratch.max, cell.rows, softmax::Row<R>{}.max);
  std::fill_n(scratch.sum, cell.rows, R(0));
  simd::Strip<R> strip;
  strip.queries = strip.groups = 1;
  strip.panels = static_cast<int>(cell.panels(best.count));
  strip.keys = static_cast<int>(best.count);
  strip.columns = cell.columns(Dv);
  strip.live = scratch.live;
  strip.scores = scratch.weights;
  strip.acc = scratch.acc;
  strip.max = scratch.max;
  strip.sum = scratch.sum;
  simd::kernels<R>(task.flash.isa).softmax(strip);
  weigh_best(task, strip);
  return strip;
}

// out and lse of query i of head h, to which its best keys have been attended.
template <class T, class M, class S>
void write_best(const TopKTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip, Index h, int i) {
  using R = Accum<T>;
  const Index b = task.flash.rows.b;
  const softmax::Row<R> state{strip.max[0], strip.sum[0]};
  const auto out = slice(task.problem.out.matrix(b, h), i, 1);
  R factor = state.blind() ? R(0) : R(1) / state.sum;
  task.problem.lse(b, h, i) = state.lse();
  const auto& kernels = task.flash.kernels();
  if (kernels.store_rows(strip.acc, strip.columns, 0, &factor, 1, out)) return;
  // The sum of the values overflows where their mean may not.
  const simd::Geometry& cell = task.flash.plan.cell;
  const R shrink = shrink_of<R>(strip.keys);
  shrink_weights(strip, Index{cell.rows} * cell.panel, shrink);
  weigh_best(task, strip);
  factor /= shrink;
  kernels.store_rows(strip.acc, strip.columns, 0, &factor, 1, out);
}

template <class T, class M, class S>
void top_k_task(const TopKTask<T, M, S>& task) {
  using R = Accum<T>;
  const QueryRows& rows = task.flash.rows;
  std::fill_n(task.scratch.live, task.flash.plan.cell.panels(task.keep), std::uint8_t{1});
  std::fill_n(task.scratch.weights,
              task.flash.plan.cell.panels(task.keep) * task.flash.plan.cell.panel *
                  task.flash.plan.cell.rows,
              R(0));
  start_rows(task);
  offer_all(task);
  for_each_stretch(rows, 0, rows.count(), [&](Index h, int row, int begin, int end) {
    for (int i = begin; i < end; ++i) {
      write_best(task, attend_best(task, task.scratch.rows[row + i - begin]), h, i);
    }
  });
}

}  // namespace HEED_ABI
}  // namespace heed::approx
