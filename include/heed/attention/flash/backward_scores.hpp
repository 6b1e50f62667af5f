// Backward through the score of a tile, and the gradients of what the score holds.
//
// Where every pair has a parameter of its own, a head's tasks write to different columns: the sum
// is in place, and heads that share it come in different waves or one KV block behind each other.
// Else each task has sums of its own, which are added after its wave, by heads and then by spans.
// Both orders go by the shape alone.
#pragma once

#include <algorithm>
#include <tuple>

#include "heed/attention/flash/backward_epilogue.hpp"
#include "heed/attention/flash/backward_task.hpp"
#include "heed/attention/score_gradients.hpp"
#include "heed/core/parallel.hpp"

namespace heed {

inline namespace HEED_ABI {

// Tells the plan which heads share numbers of a gradient. They are in different waves where spans
// and the other heads occupy all workers, or where no KV blocks of a span could take turns.
template <class R, class S>
void keep_heads_apart(BackwardPlan& plan, const S& score, const Shape& shape) {
  Carver counter(nullptr);
  bool over_batch = false, over_heads = false;
  for_each_of(gradient_sums<R>(counter, score, shape, 1), [&](const auto& sums) {
    over_batch |= !sums.by_task && sums.to.extent[0] == 1 && shape.B > 1;
    over_heads |= !sums.by_task && sums.to.extent[1] == 1 && shape.Hkv > 1;
  });
  plan.batch_first = over_heads && !over_batch;
  if (over_batch) plan.apart = over_heads ? 1 : shape.Hkv;
  if (plan.batch_first) plan.apart = shape.B;
  const Index wanted = (plan.workers + plan.spans - 1) / plan.spans;
  if (plan.apart >= wanted || plan.blocks(shape) == 1) {
    plan.heads = std::min(plan.heads, plan.apart);
  }
}

// d becomes the gradient of the scaled products of q and k; the score's parameters get their share.
//   S  the score as the user passed it, Bound the same of a head; `sums` a tuple of HeadSums
template <class R, class S, class Bound, class Sums>
struct BackwardScoreTile {
  const Bound& score;
  const Sums& sums;
  R scale;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* d, const R* s, const mask::Tile& tile) const {
    const int keys = tile.k_end - tile.k_begin;
    for (int i = tile.q_begin; i < tile.q_end; ++i, d += Panel, s += Panel) {
      if (keys == Panel) {
        row<Panel>(d, s, i, tile.k_begin, Panel);
      } else {
        row<Panel>(d, s, i, tile.k_begin, keys);
      }
    }
  }

 private:
  // Through arrays of its own, which nothing the score reads can alias: the loops vectorise.
  template <int Panel>
  [[gnu::always_inline]] inline void row(R* d, const R* s, int i, int j, int keys) const {
    constexpr bool reads_scores = !score::unit_derivative<Bound>;
    simd::Array<R, Panel> of_d, of_s = {};
    for (int c = 0; c < keys; ++c) of_d[c] = d[c];
    if constexpr (reads_scores) {
      for (int c = 0; c < keys; ++c) of_s[c] = scale * s[c];
    }
    score::ChainRule<S>::template row<0, Panel>(score, sums, of_d, of_s, i, j, keys);
    if constexpr (reads_scores) {
      for (int c = 0; c < keys; ++c) d[c] = of_d[c];
    }
  }
};

// backward of a score that asks for gradients of what it holds, on tiles of one head.
//   scores  before the modifier, unless every derivative is 1
template <class S, class R, class Bound, class Sums>
void backward_score(const simd::ScoreTiles<R>& d_scores, const R* scores, const ScorePlace& at,
                    const Bound& score, const Sums& sums, R scale, Isa isa) {
  using Backward = BackwardScoreTile<R, S, Bound, Sums>;
  const auto backward = simd::for_isa<R, Backward, R*, const R*, mask::Tile>(isa);
  for_each_live_tile(d_scores, at, [&](int g, int p, const mask::Tile& tile) {
    R* d = d_scores.tile(g, p);
    backward(Backward{score, sums, scale}, d,
             score::unit_derivative<Bound> ? d : scores + (d - d_scores.data), tile);
  });
}

// Tasks of a wave that have sums of their own.
inline Index wave_tasks(const Shape& shape, const BackwardPlan& plan) {
  return checked_product(checked_product(plan.heads, shape.group()), plan.spans);
}

// f(sums, row) for the rows of all sums, some at a time.
template <class Sums, class F>
void for_each_sum_row(const Sums& all, int workers, Executor* executor, F&& f) {
  constexpr Index chunk = 64;
  for_each_of(all, [&](const auto& sums) {
    const Index rows = sums.rows();
    parallel_for((rows + chunk - 1) / chunk, workers, executor, [&](Index index, int) {
      const Index last = std::min(rows, (index + 1) * chunk);
      for (Index n = index * chunk; n < last; ++n) f(sums, n);
    });
  });
}

template <class Sums>
void clear_sums(const Sums& all, int workers, Executor* executor) {
  for_each_sum_row(all, workers, executor, [](const auto& sums, Index n) { clear_row(sums, n); });
}

// The caller's gradients from the totals.
template <class Sums>
void store_sums(const Sums& all, int workers, Executor* executor) {
  for_each_sum_row(all, workers, executor, [](const auto& sums, Index n) { store_row(sums, n); });
}

// The sums of one task of a wave become 0.
template <class Sums>
void clear_task(const Sums& all, Index task) {
  for_each_of(all, [&](const auto& sums) {
    if (sums.by_task) std::fill_n(sums.of_tasks + task * sums.numbers(), sums.numbers(), 0.0);
  });
}

// totals += the sums of the tasks of a wave, by heads, spans and the heads of a group.
//   first, count  heads of the wave
template <class Sums>
void add_tasks(const Sums& all, const BackwardPlan& plan, const Shape& shape, Index first,
               Index count, Executor* executor) {
  constexpr Index chunk = 4096;
  const Index group = shape.group(), of_head = plan.spans * group;
  for_each_of(all, [&](const auto& sums) {
    if (!sums.by_task) return;
    const Index numbers = sums.numbers();
    parallel_for((numbers + chunk - 1) / chunk, plan.workers, executor, [&](Index index, int) {
      const Index begin = index * chunk, last = std::min(numbers, begin + chunk);
      for (Index task = 0; task < count * of_head; ++task) {
        const auto [b, kv_head] = plan.place(shape, first + task / of_head);
        double* to = sums.totals_of(b, kv_head * group + task % group);
        const double* more = sums.of_tasks + task * numbers;
        for (Index n = begin; n < last; ++n) to[n] += more[n];
      }
    });
  });
}

}  // namespace HEED_ABI
}  // namespace heed
