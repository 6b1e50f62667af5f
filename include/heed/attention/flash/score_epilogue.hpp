// Between q·kᵀ and p·v: score modifier, mask, dropout.
#pragma once

#include <algorithm>

#include "heed/attention/flash/tile_args.hpp"
#include "heed/attention/flash/tile_epilogue.hpp"

namespace heed {

inline namespace HEED_ABI {

// f(head)(scores, tile, coverage) for the part of every tile that belongs to one head; f is called
// once for all tiles of a row tile.
template <class T, class M, class S, class F>
void for_each_tile_segment(const FlashTask<T, M, S>& task, const simd::ScoreTiles<Accum<T>>& scores,
                           int first_m_tile, int k_begin, F&& f) {
  const simd::TileShape& tile_shape = task.plan.tile_shape;
  for (int g = 0; g < scores.m_tiles; ++g) {
    const int first = (first_m_tile + g) * tile_shape.mr;
    for_each_head_segment(
        task.rows, first, first + tile_shape.mr, [&](Index h, int row, int begin, int end) {
          const auto piece = f(h);
          const std::uint8_t* coverage = scores.coverage + Index{g} * scores.panels;
          Accum<T>* s = scores.tile_row(g, row - first, 0);
          for (int p = 0; p < scores.panels; ++p, s += scores.tile_size()) {
            const auto seen = static_cast<mask::Coverage>(coverage[p]);
            if (seen == mask::Coverage::Empty) continue;
            const int first_key = p * tile_shape.nr;
            const int last_key = std::min(first_key + tile_shape.nr, scores.columns);
            piece(s, mask::Tile{begin, end, k_begin + first_key, k_begin + last_key}, seen);
          }
        });
  }
}

// The softmax scale as two factors. `early` is folded into q, or applied to the accumulators where
// q is packed as bfloat16 and scaling would round it twice. `late` multiplies the scores: a scale
// above 1 times q could overflow where the score does not.
template <class R>
struct ScaleSteps {
  R early, late;
};

template <class T, class M, class S>
ScaleSteps<Accum<T>> scale_steps(const FlashTask<T, M, S>& task) {
  using R = Accum<T>;
  const auto scale = static_cast<R>(task.problem.scale);
  if (!folds_scale<S>) return {R(1), R(1)};  // a score's epilogue applies it
  const bool fits = !task.kernels.packed.folds_scale || (scale >= R(-1) && scale <= R(1));
  return fits ? ScaleSteps<R>{scale, R(1)} : ScaleSteps<R>{R(1), scale};
}

// Recomputes NaN scores with scalar dots: the bf16x3 split turns an infinite operand into 0·inf.
//   k  of the KV block
template <class T, class M, class S, class U>
void recompute_nan_scores(const FlashTask<T, M, S>& task, const simd::ScoreTiles<Accum<T>>& scores,
                          int first_m_tile, int k_begin, const View<const U, 2>& k) {
  using R = Accum<T>;
  const R scale = scale_steps(task).early;
  const int panel = task.plan.tile_shape.nr;
  const auto sum = [&](const View<const T, 2>& q, int i, int j) {
    R s = 0;
    for (Index d = 0; d < k.extent[1]; ++d) {
      s += scale * static_cast<R>(q(i, d)) * static_cast<R>(k(j - k_begin, d));
    }
    return s;
  };
  for_each_tile_segment(task, scores, first_m_tile, k_begin, [&](Index head) {
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

// Scales, modifies and masks scores where there is something to do.
//   seen  coverage of all their tiles together
template <class T, class M, class S>
void apply_epilogue(const FlashTask<T, M, S>& task, const simd::ScoreTiles<Accum<T>>& scores,
                    int first_m_tile, int k_begin, mask::Coverage seen) {
  using R = Accum<T>;
  using Head = HeadContext<M, S>;
  using Epilogue = TileEpilogue<R, typename Head::Mask, typename Head::Score>;
  const simd::TileShape& tile_shape = task.plan.tile_shape;
  const bool whole = tile_shape.begins_panel(scores.columns);
  if (folds_scale<S> && whole && seen == mask::Coverage::Full) return;
  const auto epilogue = simd::for_isa<R, Epilogue, R*, mask::Tile>(task.kernels.packed.isa);
  const auto scale = static_cast<R>(task.problem.scale);
  for_each_tile_segment(task, scores, first_m_tile, k_begin, [&](Index head) {
    return [&, bound = &task.heads[head]](R* s, const mask::Tile& tile, mask::Coverage coverage) {
      const bool masked = coverage != mask::Coverage::Full;
      if (folds_scale<S> && !masked && tile.k_end - tile.k_begin == tile_shape.nr) return;
      epilogue(Epilogue{bound->mask, bound->score, scale, masked}, s, tile);
    };
  });
}

template <class T, class M, class S>
void scale_scores(const FlashTask<T, M, S>& task, const simd::ScoreTiles<Accum<T>>& scores,
                  Accum<T> scale) {
  using R = Accum<T>;
  const auto multiply = simd::for_isa<R, ScaleTile<R>, R*, int>(task.kernels.packed.isa);
  scores.for_each_live_tile([&](R* tile) { multiply(ScaleTile<R>{scale}, tile, scores.shape.mr); });
}

template <class T, class M, class S>
void drop_weights(const FlashTask<T, M, S>& task, const simd::ScoreTiles<Accum<T>>& scores,
                  int first_m_tile, int k_begin) {
  for_each_tile_segment(task, scores, first_m_tile, k_begin, [&](Index head) {
    return [&task, head](Accum<T>* p, const mask::Tile& tile, mask::Coverage) {
      drop_tile(task.kernels.packed, p, tile, task.rows.b, head, task.problem.dropout);
    };
  });
}

// weights = p / sum, 0 where nothing is seen: of a plan with a single block, whose sums are
// complete but for the sink.
template <class T, class M, class S>
void store_weights(const FlashTask<T, M, S>& task, const TileArgs<Accum<T>>& args,
                   int first_m_tile) {
  using R = Accum<T>;
  const simd::ScoreTiles<R>& scores = args.scores;
  const simd::TileShape& tile_shape = scores.shape;
  const int first = first_m_tile * tile_shape.mr;
  const auto store = [&](Index h, int row, int begin, int end) {
    const R sink = sink_of<R>(task.problem, h);
    for (int i = begin; i < end; ++i, ++row) {
      softmax::Row<R> all{args.state.max[row - first], args.state.sum[row - first]};
      const bool sees = !all.fully_masked();
      const R factor = softmax::join_sink(all, sink);
      for (int j = 0; j < scores.columns; ++j) {
        const bool live = scores.live(tile_shape.tile_of(row - first), tile_shape.panel_of(j));
        const R p = scores.at(row - first, j);
        const bool seen = live && sees;
        task.problem.weights(task.rows.b, h, i, j) =
            static_cast<T>(seen ? p * factor / all.sum : R(0));
      }
    }
  };
  for_each_head_segment(task.rows, first, first + scores.m_tiles * tile_shape.mr, store);
}

}  // namespace HEED_ABI
}  // namespace heed
