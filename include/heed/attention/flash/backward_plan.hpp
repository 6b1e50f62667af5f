// The cut of a backward call: KV blocks, spans of keys, waves of heads; and its scratch.
#pragma once

#include <algorithm>

#include "heed/attention/flash/plan.hpp"
#include "heed/core/check.hpp"
#include "heed/core/scratch.hpp"

namespace heed {

struct BackwardPlan {
  simd::TileShape tile_shape{};  // of scores and d_q
  simd::TileShape sums{};        // of d_k and d_v, whose rows are keys
  Index block = 0;               // keys that are packed together
  int rows = 0;                  // queries that pass a KV block together, whole row tiles
  Index span = 0;                // keys of a task, which has a d_q of its own
  Index spans = 0;               // of a head; its d_q are added in ascending order
  Index heads = 0;               // heads of keys in a wave: those whose d_q exist at one time
  bool adds_spans = false;       // one worker: the d_q of a span is added before the next begins
  bool keeps_scores = false;     // a derivative is asked for at each score: it, or the score
  bool drops = false;            // dropout
  Index apart = max_length;      // heads of one run of so many share no number of a gradient
  bool batch_first = false;      // heads are counted over the batch first
  Index sink_sums = 0;           // B·Hq where the gradient of sinks is asked for
  int workers = 1;

  // Head n of the keys: that of a batch entry.
  struct Place {
    Index b, kv_head;
  };
  Place place(const Shape& shape, Index n) const {
    return batch_first ? Place{n % shape.B, n / shape.B} : Place{n / shape.Hkv, n % shape.Hkv};
  }

  // KV blocks of a span.
  Index blocks(const Shape& shape) const {
    return block == 0 ? 1 : (std::min(span, shape.Lk) + block - 1) / block;
  }

  // Rows of a query head, in whole row tiles.
  Index head_rows(const Shape& shape) const { return tile_shape.rows_in_tiles(shape.Lq); }
};

// Scratch of one worker. R is the type of sums.
template <class R>
struct BackwardScratch {
  R *q, *d_out;                  // of some queries, PackedA
  R *q_columns, *d_out_columns;  // the same, PackedB
  R *kt, *vt, *k;                // of a KV block, PackedB
  R *p, *d_p;                    // ScoreTiles: weights; their gradients, then those of the scores
  R *scores, *dropped;           // ScoreTiles, where the plan has them; scores or their slopes
  R *d_k, *d_v;                  // of a KV block, Accumulators
  R* factor;                     // [rows or keys], the scale
  std::uint8_t *coverage, *unmasked;

  [[gnu::always_inline]] BackwardScratch(Carver& carver, const Shape& shape,
                                         const BackwardPlan& plan) {
    using simd::Accumulator, simd::PackedA, simd::PackedB, simd::ScoreTiles;
    const simd::TileShape& tiles = plan.tile_shape;
    const Index D = tiles.columns(shape.D), Dv = tiles.columns(shape.Dv);
    const Index cells = ScoreTiles<R>::size(tiles, plan.rows, plan.block);
    q = carver.array<R>(PackedA<R>::size(tiles, plan.rows, shape.D));
    d_out = carver.array<R>(PackedA<R>::size(tiles, plan.rows, shape.Dv));
    q_columns = carver.array<R>(PackedB<R>::size(tiles, plan.rows, D));
    d_out_columns = carver.array<R>(PackedB<R>::size(tiles, plan.rows, Dv));
    kt = carver.array<R>(PackedB<R>::size(tiles, shape.D, plan.block));
    vt = carver.array<R>(PackedB<R>::size(tiles, shape.Dv, plan.block));
    k = carver.array<R>(PackedB<R>::size(tiles, plan.block, D));
    p = carver.array<R>(cells);
    d_p = carver.array<R>(cells);
    scores = carver.array<R>(plan.keeps_scores ? cells : 0);
    dropped = carver.array<R>(plan.drops ? cells : 0);
    d_k = carver.array<R>(Accumulator<R>::size(plan.sums, plan.block, D));
    d_v = carver.array<R>(Accumulator<R>::size(plan.sums, plan.block, Dv));
    factor = carver.array<R>(std::max<Index>(plan.rows, plan.block));
    coverage = carver.array<std::uint8_t>(tiles.m_tiles(plan.rows) * tiles.panels(plan.block));
    unmasked = carver.array<std::uint8_t>(cells);
  }
};

// Arrays that the workers of a wave share.
template <class R>
struct BackwardWave {
  R* lse;           // [heads, group, head_rows]
  R* delta;         // [heads, group, head_rows], Σ_j p·d_p
  R* d_q;           // [heads, parts, group], Accumulators of head_rows
  double* d_sinks;  // [B, Hq]: of the call, or nothing
  Index head_rows, columns, group;
  Index parts;  // of d_q: its spans, or the sum so far and the next span

  [[gnu::always_inline]] BackwardWave(Carver& carver, const Shape& shape, const BackwardPlan& plan)
      : d_sinks(carver.array<double>(plan.sink_sums)),
        head_rows(plan.head_rows(shape)),
        columns(plan.tile_shape.columns(shape.D)),
        group(shape.Hkv == 0 ? 0 : shape.group()),
        parts(plan.adds_spans ? std::min<Index>(plan.spans, 2) : plan.spans) {
    const Index rows = checked_product(checked_product(plan.heads, group), head_rows);
    lse = carver.array<R>(rows);
    delta = carver.array<R>(rows);
    d_q = carver.array<R>(checked_product(checked_product(rows, parts), columns));
  }

  // Of query head `g` of the group of head `head` of the wave.
  R* lse_of(Index head, Index g) const { return lse + (head * group + g) * head_rows; }
  R* delta_of(Index head, Index g) const { return delta + (head * group + g) * head_rows; }
  R* d_q_of(Index head, Index part, Index g) const {
    return d_q + ((head * parts + part) * group + g) * head_rows * columns;
  }
  Index d_q_size() const { return group * head_rows * columns; }  // of a part
};

inline namespace HEED_ABI {

// Spans depend on the length of the keys alone, as the bits of d_q do on them.
inline BackwardPlan backward_plan(const Shape& shape, const simd::TileShape& tile_shape,
                                  const simd::TileShape& sums, int threads,
                                  const Executor* executor) {
  constexpr Index most_spans = 8, shortest_span = 1024;
  BackwardPlan plan{tile_shape, sums};
  plan.block = kv_block_keys(shape, tile_shape);
  plan.rows = std::min(8, 64 / tile_shape.mr) * tile_shape.mr;
  const Index blocks = plan.block == 0 ? 0 : (shape.Lk + plan.block - 1) / plan.block;
  const Index per_span =
      std::max((blocks + most_spans - 1) / most_spans,
               plan.block == 0 ? 1 : std::max<Index>(1, shortest_span / plan.block));
  plan.span = std::max<Index>(1, per_span * plan.block);
  plan.spans = std::max<Index>(1, (blocks + per_span - 1) / per_span);
  const Index heads = checked_product(shape.B, shape.Hkv);
  const int available = worker_count(Index{1} << 30, threads, executor);
  const Index tasks = 2 * Index{available};  // in a wave: two for each worker, to even them out
  plan.heads = std::min(heads, available == 1 ? 1 : (tasks + plan.spans - 1) / plan.spans);
  plan.workers = worker_count(checked_product(heads, plan.spans), threads, executor);
  plan.adds_spans = plan.workers == 1;
  return plan;
}

template <class R>
Index backward_worker_bytes(const Shape& shape, const BackwardPlan& plan) {
  Carver counter(nullptr);
  BackwardScratch<R>(counter, shape, plan);
  return static_cast<Index>(counter.used());
}

template <class R>
Index backward_wave_bytes(const Shape& shape, const BackwardPlan& plan) {
  Carver counter(nullptr);
  BackwardWave<R>(counter, shape, plan);
  return static_cast<Index>(counter.used());
}

}  // namespace HEED_ABI
}  // namespace heed
