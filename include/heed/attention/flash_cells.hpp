// What happens to the live cells of a strip besides the two products: what becomes of their scores,
// which weights are dropped.
#pragma once

#include <algorithm>

#include "heed/attention/flash_task.hpp"
#include "heed/attention/rewrite.hpp"

namespace heed {

inline namespace HEED_ABI {

// f(head)(scores, tile, coverage) for every piece of a live cell that lies in one head; f itself is
// asked once for all cells beside each other.
template <class T, class M, class S, class F>
void for_each_live_piece(const FlashTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip,
                         int first_group, int k_begin, F&& f) {
  const simd::Geometry& cell = task.plan.cell;
  for (int g = 0; g < strip.groups; ++g) {
    const int first = (first_group + g) * cell.rows;
    for_each_stretch(
        task.rows, first, first + cell.rows, [&](Index h, int row, int begin, int end) {
          const auto piece = f(h);
          for (int p = 0; p < strip.panels; ++p) {
            const Index at = Index{g} * strip.panels + p;
            if (strip.live[at] == 0) continue;
            const int j = k_begin + p * cell.panel;
            const mask::Tile tile{begin, end, j, std::min(j + cell.panel, k_begin + strip.keys)};
            piece(strip.scores + (at * cell.rows + row - first) * cell.panel, tile,
                  static_cast<mask::Coverage>(strip.live[at]));
          }
        });
  }
}

// Where the scale comes in: `early` multiplies q before the products, or their sums where q is
// packed as bfloat16, which would round it again; `late` multiplies scores. A scale above 1 is
// late: q times it could overflow where the score does not.
template <class R>
struct ScaleSteps {
  R early, late;
};

template <class T, class M, class S>
ScaleSteps<Accum<T>> scale_steps(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const auto scale = static_cast<R>(task.problem.scale);
  if (!folds_scale<S>) return {R(1), scale};
  const bool fits = !task.plan.cell.exact() || (scale >= R(-1) && scale <= R(1));
  return fits ? ScaleSteps<R>{scale, R(1)} : ScaleSteps<R>{R(1), scale};
}

// Scores that are NaN, summed anew one by one: where some q or k is infinite, tiles may have made
// NaN of ±inf.
//   k  of the block
template <class T, class M, class S>
void mend_scores(const FlashTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip,
                 int first_group, int k_begin, const View<const T, 2>& k) {
  using R = Accum<T>;
  const R scale = scale_steps(task).early;
  const int panel = task.plan.cell.panel;
  const auto sum = [&](const View<const T, 2>& q, int i, int j) {
    R s = 0;
    for (Index d = 0; d < k.extent[1]; ++d) {
      s += scale * static_cast<R>(q(i, d)) * static_cast<R>(k(j - k_begin, d));
    }
    return s;
  };
  for_each_live_piece(task, strip, first_group, k_begin, [&](Index head) {
    return [&, q = task.problem.q.matrix(task.rows.b, head)](R* s, const mask::Tile& tile,
                                                             mask::Coverage) {
      for (int i = tile.q_begin; i < tile.q_end; ++i, s += panel) {
        for (int j = tile.k_begin; j < tile.k_end; ++j) {
          if (is_nan(s[j - tile.k_begin])) s[j - tile.k_begin] = sum(q, i, j);
        }
      }
    };
  });
}

// The scores of one head's part of a cell: times `scale`, modified, masked.
template <class T, class M, class S>
auto rewriter_of(const FlashTask<T, M, S>& task, Index head, Accum<T> scale) {
  using R = Accum<T>;
  const Shape& shape = task.problem.shape;
  const auto mask = mask::bind(task.mask, shape, task.rows.b, head);
  const auto score = score::bind(task.score, shape, task.rows.b, head);
  using Cell = Rewrite<R, decltype(mask), decltype(score)>;
  return [mask, score, scale, panel = task.plan.cell.panel,
          rewrite = simd::rewriter<R, Cell, mask::Tile>(task.isa)](
             R* scores, const mask::Tile& tile, mask::Coverage coverage) {
    const bool masked = coverage != mask::Coverage::Full;
    if (folds_scale<S> && scale == R(1) && !masked && tile.k_end - tile.k_begin == panel) return;
    rewrite(Cell{mask, score, scale, masked}, scores, tile);
  };
}

template <class T, class M, class S>
void rewrite_strip(const FlashTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip,
                   int first_group, int k_begin, Accum<T> scale) {
  for_each_live_piece(task, strip, first_group, k_begin,
                      [&](Index head) { return rewriter_of(task, head, scale); });
}

template <class T, class M, class S>
void drop_weights(const FlashTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip,
                  int first_group, int k_begin) {
  using R = Accum<T>;
  const Dropout& dropout = task.problem.dropout;
  const int panel = task.plan.cell.panel;
  const auto b = static_cast<std::uint32_t>(task.rows.b);
  const auto drop = [&](std::uint32_t h, R* p, const mask::Tile& tile) {
    for (int i = tile.q_begin; i < tile.q_end; ++i, p += panel) {
      for (int j = tile.k_begin; j < tile.k_end; ++j) {
        const bool kept =
            dropout.keeps(b, h, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j));
        p[j - tile.k_begin] *= kept ? static_cast<R>(dropout.keep_scale) : R(0);
      }
    }
  };
  for_each_live_piece(task, strip, first_group, k_begin, [&](Index head) {
    return [&drop, h = static_cast<std::uint32_t>(head)](R* p, const mask::Tile& tile,
                                                         mask::Coverage) { drop(h, p, tile); };
  });
}

// weights = p / sum, 0 where nothing is seen: of a plan with a single block, whose sums are
// complete.
template <class T, class M, class S>
void store_weights(const FlashTask<T, M, S>& task, const simd::Strip<Accum<T>>& strip,
                   int first_group) {
  using R = Accum<T>;
  const simd::Geometry& cell = task.plan.cell;
  const int first = first_group * cell.rows;
  const auto store = [&](Index h, int row, int begin, int end) {
    for (int i = begin; i < end; ++i, ++row) {
      const Index group = (row - first) / cell.rows;
      const Index r = (row - first) % cell.rows;
      const R sum = strip.sum[row - first];
      for (int j = 0; j < strip.keys; ++j) {
        const Index at = group * strip.panels + j / cell.panel;
        const R p = strip.scores[(at * cell.rows + r) * cell.panel + j % cell.panel];
        const bool seen = strip.live[at] != 0 && sum != R(0);
        task.problem.weights(task.rows.b, h, i, j) = static_cast<T>(seen ? p / sum : R(0));
      }
    }
  };
  for_each_stretch(task.rows, first, first + strip.groups * cell.rows, store);
}

}  // namespace HEED_ABI
}  // namespace heed
