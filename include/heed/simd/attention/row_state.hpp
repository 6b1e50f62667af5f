// The running softmax of the rows of some score tiles: m, l and o.
#pragma once

#include "heed/simd/gemm/packed.hpp"

namespace heed::simd {

template <class R>
struct RowState {
  R* max;              // [m_tiles · mr], of the scores so far
  R* sum;              // [m_tiles · mr], of exp(score − max)
  Accumulator<R> acc;  // o, unnormalised

  // Row i, which begins a row tile, and those behind it.
  HEED_INLINE RowState from_row(Index i) const {
    HEED_ASSERT(acc.shape.begins_tile(i));
    return {max + i, sum + i, acc.from_tile(acc.shape.tile_of(i))};
  }
};

}  // namespace heed::simd
