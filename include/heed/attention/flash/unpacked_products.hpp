// Products with the keys and values of an unpacked block where they lie: in runs or in slices.
#pragma once

#include "heed/attention/flash/kv_block.hpp"

namespace heed {
inline namespace HEED_ABI {

// f(run, scores, first_m_tile) for the tiles of each run of an unpacked block. Several runs cut the
// tiles of a row tile, which lie one behind the other, at panels.
template <class T, class R, class F>
void for_each_run(const KvBlock<T>& block, const simd::ScoreTiles<R>& scores, F&& f) {
  if (block.run_count == 1) return f(block.runs[0], scores, 0);
  for (int n = 0; n < block.run_count; ++n) {
    const KvRun<T>& run = block.runs[n];
    for (int g = 0; g < scores.m_tiles; ++g) {
      f(run, scores.part(g, run.first, static_cast<int>(run.k.extent[0])), g);
    }
  }
}

// s = q·kᵀ of keys where they lie.
template <class T, class M, class S, class U>
void multiply_unpacked_keys(const FlashTask<T, M, S>& task, const TileArgs<Accum<T>>& tiles,
                            const KvBlock<U>& block) {
  if (block.slices.used) {
    block.of_panels->qk_slices(tiles.q, block.slices.list, block.slices.width, tiles.scores);
    return;
  }
  const simd::UnpackedKernels<U>& kernels = unpacked_kernels_of<U>(task.kernels);
  for_each_run(block, tiles.scores, [&](const KvRun<U>& run, const auto& scores, int g) {
    const auto q = tiles.q.from_row(g * task.plan.tile_shape.mr);
    if (run.panels != nullptr) return block.of_panels->qk(q, run.panels, scores);
    kernels.qk(q, run.k, scores);
  });
}

// o += p·v of values where they lie.
template <class T, class M, class S, class U>
void multiply_unpacked_values(const FlashTask<T, M, S>& task, const TileArgs<Accum<T>>& tiles,
                              const KvBlock<U>& block) {
  const auto& acc = tiles.state.acc;
  if (block.slices.used) {
    block.of_panels->pv_slices(tiles.scores, block.slices.list, task.problem.shape.Dv, acc);
    return;
  }
  for_each_run(block, tiles.scores, [&](const KvRun<U>& run, const auto& p, int g) {
    unpacked_kernels_of<U>(task.kernels).pv(p, run.v, acc.from_tile(g));
  });
}

}  // namespace HEED_ABI
}  // namespace heed
