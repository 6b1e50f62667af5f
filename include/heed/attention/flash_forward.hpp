// Exact attention in tiles: scores live in scratch, a tile at a time, and are never stored whole.
// Dao, "FlashAttention-2" (2023), Algorithm 1.
#pragma once

#include <algorithm>

#include "heed/attention/problem.hpp"
#include "heed/attention/tiling.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/softmax/online.hpp"

namespace heed {

// What one worker of flash_forward needs, whatever it computes.
template <class R>
struct FlashScratch {
  R* q;                   // [tile_queries, D]
  R* kt;                  // [D, tile_keys]
  R* v;                   // [tile_keys, Dv]
  R* scores;              // [tile_queries, tile_keys], then the unnormalised weights
  R* acc;                 // [tile_queries, Dv], values weighted under the row's current maximum
  softmax::Row<R>* rows;  // [tile_queries]
  std::uint8_t* seen;     // [tile_queries, tile_keys]

  FlashScratch(Carver& carver, const Shape& shape)
      : q(carver.array<R>(tile_queries * shape.D)),
        kt(carver.array<R>(shape.D * tile_keys)),
        v(carver.array<R>(tile_keys * shape.Dv)),
        scores(carver.array<R>(tile_queries * tile_keys)),
        acc(carver.array<R>(tile_queries * shape.Dv)),
        rows(carver.array<softmax::Row<R>>(tile_queries)),
        seen(carver.array<std::uint8_t>(tile_queries * tile_keys)) {}
};

inline namespace HEED_ABI {

template <class R>
Index flash_scratch_bytes(const Shape& shape) {
  Carver counter(nullptr);
  FlashScratch<R>(counter, shape);
  return static_cast<Index>(counter.used());
}

inline Index query_tiles(const Shape& shape) {
  return (shape.Lq + tile_queries - 1) / tile_queries;
}

inline Index flash_tasks(const Shape& shape) {
  return checked_product(checked_product(shape.B, shape.Hq), query_tiles(shape));
}

// One tile of keys into the running rows: s = modify(scale·q kᵀ), p = exp(s − max), acc += p·v.
template <class T, class R, class M, class S>
void flash_tile(const Problem<T>& problem, Index b, Index h, mask::Tile tile,
                mask::Coverage coverage, const M& mask, const S& score,
                const FlashScratch<R>& scratch) {
  const Index Dv = problem.shape.Dv;
  const Index kv_head = h / problem.shape.group();
  const int rows = tile.q_end - tile.q_begin;
  const int keys = tile.k_end - tile.k_begin;
  load_transposed(problem.k.matrix(b, kv_head), tile.k_begin, keys, scratch.kt);
  load_rows(problem.v.matrix(b, kv_head), tile.k_begin, keys, scratch.v);
  simd::dots(scratch.q, scratch.kt, scratch.scores, tile_keys, rows, problem.shape.D);
  modify_and_mask(scratch.scores, scratch.seen, tile_keys, tile, coverage,
                  static_cast<R>(problem.scale), mask, score);
  const bool finite = all_finite(scratch.v, keys * Dv);
  if (!finite) {
    for (int n = 0; n < rows * tile_keys; ++n) scratch.seen[n] = !is_masked(scratch.scores[n]);
  }
  for (int r = 0; r < rows; ++r) {
    const R shrink = softmax::update(scratch.rows[r], scratch.scores + r * tile_keys, tile_keys);
    if (shrink == R(1)) continue;
    for (Index d = 0; d < Dv; ++d) scratch.acc[r * Dv + d] *= shrink;
  }
  if (problem.dropout.active())
    drop_weights(scratch.scores, tile_keys, tile, problem.dropout, b, h);
  if (finite) {
    simd::accumulate(scratch.scores, tile_keys, scratch.v, scratch.acc, rows, keys, Dv);
  } else {
    simd::accumulate_seen(scratch.scores, scratch.seen, tile_keys, scratch.v, scratch.acc, rows,
                          keys, Dv);
  }
}

// out = acc / sum, zero for a row that saw no key; lse beside it.
template <class T, class R>
void write_rows(const Problem<T>& problem, Index b, Index h, int q_begin, int q_end,
                const FlashScratch<R>& scratch) {
  const Index Dv = problem.shape.Dv;
  for (int i = q_begin; i < q_end; ++i) {
    const softmax::Row<R>& row = scratch.rows[i - q_begin];
    const R* acc = scratch.acc + (i - q_begin) * Dv;
    T* out = Dv == 0 ? nullptr : &problem.out(b, h, i, 0);
    for (Index d = 0; d < Dv; ++d, out += problem.out.stride[3]) {
      *out = row.blind() ? T(0) : static_cast<T>(acc[d] / row.sum);
    }
    if (problem.lse.data != nullptr) problem.lse(b, h, i) = row.lse();
  }
}

// All keys for one tile of queries of one head.
template <class T, class R, class M, class S>
void flash_query_tile(const Problem<T>& problem, Index b, Index h, int q_begin, int q_end,
                      const M& mask, const S& score, const FlashScratch<R>& scratch) {
  load_rows(problem.q.matrix(b, h), q_begin, q_end - q_begin, scratch.q);
  std::fill_n(scratch.acc, tile_queries * problem.shape.Dv, R(0));
  std::fill_n(scratch.rows, tile_queries, softmax::Row<R>{});
  for (Index k_begin = 0; k_begin < problem.shape.Lk; k_begin += tile_keys) {
    const mask::Tile tile = key_tile(q_begin, q_end, k_begin, problem.shape);
    const mask::Coverage coverage = mask.coverage(tile);
    if (coverage == mask::Coverage::Empty) continue;
    flash_tile(problem, b, h, tile, coverage, mask, score, scratch);
  }
  write_rows(problem, b, h, q_begin, q_end, scratch);
}

// Every query tile of every head, on `workers` workers that share nothing. The keys of a row come
// in ascending order whoever computes it, so its bits depend on neither threads nor batch.
//
// Time O(B·Hq·Lq·Lk·(D + Dv)) over the tiles that are not Empty;
// scratch O(workers · (tile_queries + tile_keys) · (D + Dv)).
template <class T, class M, class S>
void flash_forward(const Problem<T>& problem, const M& mask, const S& score, int workers,
                   Executor* executor, std::byte* scratch) {
  using R = Accum<T>;
  const Shape& shape = problem.shape;
  const Index tiles = query_tiles(shape);
  const Index bytes = flash_scratch_bytes<R>(shape);
  parallel_for(flash_tasks(shape), workers, executor, [&](Index task, int worker) {
    const Index head = task / tiles;
    const Index b = head / shape.Hq;
    const Index h = head % shape.Hq;
    // Late queries see most keys under a causal mask: their tiles come first.
    const auto q_begin = static_cast<int>((tiles - 1 - task % tiles) * tile_queries);
    const auto q_end = static_cast<int>(std::min<Index>(Index{q_begin} + tile_queries, shape.Lq));
    Carver carver(scratch + worker * bytes);
    flash_query_tile(problem, b, h, q_begin, q_end, mask::bind(mask, shape, b, h),
                     score::bind(score, shape, b, h), FlashScratch<R>(carver, shape));
  });
}

}  // namespace HEED_ABI
}  // namespace heed
