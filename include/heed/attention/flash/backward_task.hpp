// One worker on one head of keys in a backward call, and the KV block that it packs.
#pragma once

#include <algorithm>

#include "heed/attention/flash/backward_plan.hpp"
#include "heed/attention/problem.hpp"
#include "heed/attention/score_gradients.hpp"
#include "heed/simd/kernels.hpp"

namespace heed {

// A checked backward call; `forward` holds q, k, v, lse and the options.
template <class T, class M, class S>
struct BackwardCall {
  const Problem<T>& forward;
  View<const Accum<T>, 4> out;  // [B, Hq, Lq, Dv]; no data where T rounds it
  View<const T, 4> d_out;       // [B, Hq, Lq, Dv]
  View<T, 4> d_q, d_k, d_v;
  const M& mask;
  const S& score;
  const BackwardPlan& plan;
  const simd::PackedKernels<T>& kernels;
  const simd::GradientKernels<T>& gradients;
  HeadNumbers<true> d_sinks = {};
};

// A KV block and the sums of its gradients.
template <class R>
struct BackwardBlock {
  int begin, keys;
  simd::PackedB<R> kt, vt, k;
  simd::Accumulator<R> d_k, d_v;
  bool packed = false;  // only once a query sees a key
  bool finite = true;   // all of k
};

inline namespace HEED_ABI {

// One worker on one head of keys.
template <class T, class M, class S>
struct BackwardTask {
  using R = Accum<T>;

  const BackwardCall<T, M, S>& call;
  const BackwardWave<R>& wave;
  Index head;  // of the wave
  Index b, kv_head;
  BackwardScratch<R> scratch;
  const ScoreSums<R, S>& sums;

  const Shape& shape() const { return call.forward.shape; }
  Index query_head(Index g) const { return kv_head * wave.group + g; }
  Index sums_of(Index span, Index g) const {  // number of its sums in the wave
    return (head * call.plan.spans + span) * wave.group + g;
  }
};

// The KV block of keys [begin, end), not packed yet.
template <class T, class M, class S>
BackwardBlock<Accum<T>> make_block(const BackwardTask<T, M, S>& task, Index begin, Index end) {
  const BackwardPlan& plan = task.call.plan;
  const Shape& shape = task.shape();
  const simd::TileShape& tiles = plan.tile_shape;
  const BackwardScratch<Accum<T>>& scratch = task.scratch;
  const Index D = tiles.columns(shape.D), Dv = tiles.columns(shape.Dv);
  return {static_cast<int>(begin),
          static_cast<int>(end - begin),
          {scratch.kt, shape.D, plan.block, tiles},
          {scratch.vt, shape.Dv, plan.block, tiles},
          {scratch.k, plan.block, D, tiles},
          {scratch.d_k, D, plan.sums},
          {scratch.d_v, Dv, plan.sums}};
}

// Packs keys and values, if no query before has seen a key of the block.
template <class T, class M, class S>
void pack_block(const BackwardTask<T, M, S>& task, BackwardBlock<Accum<T>>& block) {
  if (block.packed) return;
  const simd::PackedKernels<T>& kernels = task.call.kernels;
  const auto k = slice(task.call.forward.k.matrix(task.b, task.kv_head), block.begin, block.keys);
  const auto v = slice(task.call.forward.v.matrix(task.b, task.kv_head), block.begin, block.keys);
  kernels.pack_b_transposed(k, block.kt);
  kernels.pack_b_transposed(v, block.vt);
  block.finite = kernels.pack_b(k, block.k);
  block.packed = true;
}

// Rows [begin, begin + count) of x as operand A; the row tile's other rows become 0.
template <class T>
simd::PackedA<Accum<T>> pack_rows(const simd::PackedKernels<T>& kernels, const View<const T, 2>& x,
                                  Index begin, Index count, Accum<T> scale, Accum<T>* to) {
  using R = Accum<T>;
  const simd::PackedA<R> packed{to, x.extent[1], kernels.tile_shape};
  kernels.pack_a(slice(x, begin, count), scale, packed);
  std::fill(packed.row(count), packed.tile(kernels.tile_shape.m_tiles(count)), R(0));
  return packed;
}

}  // namespace HEED_ABI
}  // namespace heed
