// Attention a chunk of queries at a time: all scores of the chunk, one plain softmax a row.
// Scratch is O(chunk · Lk) a worker instead of O(Lq · Lk).
#pragma once

#include <algorithm>

#include "heed/attention/operands.hpp"
#include "heed/attention/result.hpp"
#include "heed/attention/tiling.hpp"
#include "heed/core/eigen.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/softmax/dense.hpp"

namespace heed::chunked {

struct Options {
  Index chunk = 512;                 // queries at a time
  bool weights = false;              // return the weights too: O(Lq · Lk), what chunks avoid
  std::optional<double> scale = {};  // default 1/sqrt(D)
  int threads = 0;                   // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;      // the user's pool
  double dropout = 0;                // probability that a weight is dropped, in [0, 1]
  std::uint64_t seed = 0;            // of dropout

  heed::Options common() const {
    return {
        .scale = scale, .threads = threads, .executor = executor, .dropout = dropout, .seed = seed};
  }
};

template <class Out, class Lse, class Weights>
struct Result {
  Out out;                    // [B, Hq, Lq, Dv]
  Lse lse;                    // [B, Hq, Lq], natural log
  Weights weights;            // [B, Hq, Lq, Lk] before dropout; empty unless asked for
  std::size_t scratch_bytes;  // held during the call
  std::size_t weights_bytes;  // held by `weights`
};

// What one worker needs for a chunk.
template <class R>
struct Scratch {
  Index stride;        // Lk in whole tiles
  R* q;                // [chunk, D]
  R* scores;           // [chunk, stride], then the weights
  std::uint8_t* seen;  // [chunk, stride]
  R* kt;               // [D, tile_keys]
  R* v;                // [tile_keys, Dv]
  R* acc;              // [chunk, Dv]

  Scratch(Carver& carver, const Shape& shape, Index chunk)
      : stride((shape.Lk + tile_keys - 1) / tile_keys * tile_keys),
        q(carver.array<R>(checked_product(chunk, shape.D))),
        scores(carver.array<R>(checked_product(chunk, stride))),
        seen(carver.array<std::uint8_t>(checked_product(chunk, stride))),
        kt(carver.array<R>(shape.D * tile_keys)),
        v(carver.array<R>(tile_keys * shape.Dv)),
        acc(carver.array<R>(checked_product(chunk, shape.Dv))) {}
};

inline namespace HEED_ABI {

// No chunk needs to be longer than the queries.
inline Index chunk_of(Index wanted, const Shape& shape) {
  return std::min(wanted, std::max<Index>(shape.Lq, 1));
}

template <class R>
Index scratch_bytes(const Shape& shape, Index chunk) {
  Carver counter(nullptr);
  Scratch<R>(counter, shape, chunk);
  return static_cast<Index>(counter.used());
}

inline Index tasks(const Shape& shape, Index chunk) {
  return checked_product(checked_product(shape.B, shape.Hq), (shape.Lq + chunk - 1) / chunk);
}

// scores = mask(modify(scale·q kᵀ)) of a chunk; `seen` says which of them are not −inf.
template <class T, class R, class M, class S>
void score_chunk(const Problem<T>& problem, Index b, Index h, int q_begin, int q_end, const M& mask,
                 const S& score, const Scratch<R>& scratch) {
  const auto keys = problem.k.matrix(b, h / problem.shape.group());
  const int rows = q_end - q_begin;
  load_rows(problem.q.matrix(b, h), q_begin, rows, scratch.q);
  for (Index k_begin = 0; k_begin < problem.shape.Lk; k_begin += tile_keys) {
    const mask::Tile tile = key_tile(q_begin, q_end, k_begin, problem.shape);
    R* scores = scratch.scores + k_begin;
    std::uint8_t* seen = scratch.seen + k_begin;
    load_transposed(keys, k_begin, tile.k_end - tile.k_begin, scratch.kt);
    simd::dots(scratch.q, scratch.kt, scores, scratch.stride, rows, problem.shape.D);
    modify_and_mask(scores, seen, scratch.stride, tile, mask.coverage(tile),
                    static_cast<R>(problem.scale), mask, score);
  }
  for (Index n = 0; n < rows * scratch.stride; ++n) scratch.seen[n] = !is_masked(scratch.scores[n]);
}

// acc = weights · v of a chunk.
template <class T, class R>
void weigh_chunk(const Problem<T>& problem, Index b, Index h, int q_begin, int q_end,
                 const Scratch<R>& scratch) {
  const auto values = problem.v.matrix(b, h / problem.shape.group());
  const Index Dv = problem.shape.Dv;
  const int rows = q_end - q_begin;
  std::fill_n(scratch.acc, rows * Dv, R(0));
  for (Index k_begin = 0; k_begin < problem.shape.Lk; k_begin += tile_keys) {
    const mask::Tile tile = key_tile(q_begin, q_end, k_begin, problem.shape);
    const int keys = tile.k_end - tile.k_begin;
    R* p = scratch.scores + k_begin;
    load_rows(values, k_begin, keys, scratch.v);
    if (problem.dropout.active()) {
      drop_weights(p, scratch.stride, tile, problem.dropout, b, h);
    }
    if (all_finite(scratch.v, keys * Dv)) {
      simd::accumulate(p, scratch.stride, scratch.v, scratch.acc, rows, keys, Dv);
    } else {
      simd::accumulate_seen(p, scratch.seen + k_begin, scratch.stride, scratch.v, scratch.acc, rows,
                            keys, Dv);
    }
  }
}

// Every chunk of every head. `weights` is [B, Hq, Lq, Lk] or has no data.
template <class T, class M, class S>
void forward(const Problem<T>& problem, const View<T, 4>& weights, const M& mask, const S& score,
             Index chunk, int workers, Executor* executor, std::byte* memory) {
  using R = Accum<T>;
  const Shape& shape = problem.shape;
  const Index chunks = (shape.Lq + chunk - 1) / chunk;
  const Index bytes = scratch_bytes<R>(shape, chunk);
  parallel_for(tasks(shape, chunk), workers, executor, [&](Index task, int worker) {
    const Index b = task / chunks / shape.Hq;
    const Index h = task / chunks % shape.Hq;
    const auto q_begin = static_cast<int>(task % chunks * chunk);
    const auto q_end = static_cast<int>(std::min<Index>(q_begin + chunk, shape.Lq));
    Carver carver(memory + worker * bytes);
    const Scratch<R> scratch(carver, shape, chunk);
    score_chunk(problem, b, h, q_begin, q_end, mask::bind(mask, shape, b, h),
                score::bind(score, shape, b, h), scratch);
    for (int i = q_begin; i < q_end; ++i) {
      R* row = scratch.scores + (i - q_begin) * scratch.stride;
      const R lse = softmax::dense(row, static_cast<int>(scratch.stride));
      if (problem.lse.data != nullptr) problem.lse(b, h, i) = lse;
      if (weights.data == nullptr) continue;
      for (Index j = 0; j < shape.Lk; ++j) weights(b, h, i, j) = static_cast<T>(row[j]);
    }
    weigh_chunk(problem, b, h, q_begin, q_end, scratch);
    for (int i = q_begin; i < q_end; ++i) {
      for (Index d = 0; d < shape.Dv; ++d) {
        problem.out(b, h, i, d) = static_cast<T>(scratch.acc[(i - q_begin) * shape.Dv + d]);
      }
    }
  });
}

// out = softmax(mask(modify(scale·q kᵀ))) v, `options.chunk` queries at a time.
//
//   q [B, Hq, Lq, D]   k [B, Hkv, Lk, D]   v [B, Hkv, Lk, Dv], or rank 3 or 2, as for attention
//
// Throws heed::Error as attention does, and for a chunk below 1. Time O(Lq·Lk·D): Empty tiles are
// computed like any other; scratch O(threads · chunk · Lk).
template <class Q, class K, class V, class M = mask::None, class S = score::None>
auto attention(const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
               const Options& options = {}) {
  constexpr const char* call = "heed::chunked::attention";
  check_types<Q, K, V, M, S>();
  using T = ScalarOf<Q>;
  using R = Accum<T>;
  using Weights = typename TensorTraits<View<T, rank_of<Q>>>::template Owned<T>;
  using Traits = TraitsOf<Q>;
  const Shape shape = check_call(call, q, k, v, as_mask(mask), as_score(score), options.common());
  if (options.chunk < 1) throw Error(std::string(call) + ": the chunk is below 1");
  const Index chunk = chunk_of(options.chunk, shape);
  const int workers = worker_count(tasks(shape, chunk), options.threads, options.executor);
  const auto scratch =
      static_cast<std::size_t>(checked_product(scratch_bytes<R>(shape, chunk), workers));

  Shape none = shape;
  none.Lq = 0;
  Result<typename Traits::template Owned<T>, typename Traits::template Rows<R>, Weights> result{
      make_like<T>(q, shape), make_rows<Q, R>(shape.B, shape.Hq, shape.Lq),
      make_scores<Q, T>(options.weights ? shape : none), scratch, 0};
  result.weights_bytes = static_cast<std::size_t>(result.weights.size()) * sizeof(T);
  auto problem = make_problem(q, k, v, shape, options.common());
  problem.out = lift(Traits::template owned_view<T>(result.out));
  problem.lse = lift_rows(rows_view(result.lse));
  View<T, 4> weights{nullptr, {}, {}};
  if (options.weights) weights = lift(mutable_view_of(result.weights));
  const heed::Scratch memory(scratch, {});
  forward(problem, weights, as_mask(mask), as_score(score), chunk, workers, options.executor,
          memory.begin());
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::chunked
