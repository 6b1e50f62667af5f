// Combines the splits of a row: (m, l, o) of each become (m, l, o) of all keys.
#pragma once

#include "heed/attention/flash/plan.hpp"
#include "heed/softmax/online.hpp"

namespace heed {

inline namespace HEED_ABI {

// The rows of the first split become those of all splits, in ascending order.
template <class R>
void combine_splits(const SplitState<R>& partials, const simd::TileShape& tile_shape,
                    Index first_task, Index splits) {
  const auto acc_of = [&](Index task) {
    return simd::Accumulator<R>{partials.acc + task * partials.rows * partials.columns,
                                partials.columns, tile_shape};
  };
  const simd::Accumulator<R> o = acc_of(first_task);
  for (Index task = first_task + 1; task < first_task + splits; ++task) {
    const simd::Accumulator<R> more = acc_of(task);
    for (Index row = 0; row < partials.rows; ++row) {
      const Index at = first_task * partials.rows + row;
      const Index from = task * partials.rows + row;
      const softmax::Row<R> a{partials.max[at], partials.sum[at]};
      const softmax::Row<R> b{partials.max[from], partials.sum[from]};
      const auto [both, of_a, of_b] = merge(a, b);
      partials.max[at] = both.max;
      partials.sum[at] = both.sum;
      for (Index d = 0; d < partials.columns; ++d) {
        o.at(row, d) = o.at(row, d) * of_a + more.at(row, d) * of_b;
      }
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed
