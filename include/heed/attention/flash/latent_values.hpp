// Values of a KV block that are the first features of its keys (kv::LatentSource), as rows.
#pragma once

#include "heed/attention/flash/task.hpp"

namespace heed {
inline namespace HEED_ABI {

// The values of each run of a block, whose keys lie in panels from their first column on. They come
// to the scratch where gathered values lie; keys are still in L2.
template <class T, class M, class S, class Block>
void find_latent_values(const FlashTask<T, M, S>& task, Block& block) {
  using U = typename Block::Element;
  const Index D = task.problem.shape.D, Dv = task.problem.shape.Dv;
  U* values = reinterpret_cast<U*>(task.scratch.gathered) + task.plan.block * D;
  for (int n = 0; n < block.run_count; ++n) {
    auto& run = block.runs[n];
    const View<U, 2> rows{values + run.first * Dv, {run.k.extent[0], Dv}, {Dv, 1}};
    block.of_panels->to_rows(run.panels, D, rows);
    run.v = rows.as_const();
  }
}

}  // namespace HEED_ABI
}  // namespace heed
