// The operands of one query sub-block and one KV block, as views of a task's scratch.
#pragma once

#include "heed/attention/flash/task.hpp"

namespace heed {

template <class R>
struct TileArgs {
  simd::PackedA<R> q;
  simd::PackedB<const R> kt, v;
  simd::ScoreTiles<R> scores;
  simd::RowState<R> state;
};

inline namespace HEED_ABI {

// Rows [row, row + queries) of a task against a block of `keys` keys; row begins a row tile.
template <class R>
TileArgs<R> make_tile_args(const FlashScratch<R>& scratch, const simd::RowState<R>& state, int row,
                           int queries, int keys) {
  TileArgs<R> args{
      scratch.q.from_row(row), scratch.kt, scratch.v,
      simd::ScoreTiles<R>::of(scratch.q.shape, scratch.scores, scratch.coverage, queries, keys),
      state.from_row(row)};
  args.scores.packed_p = scratch.packed_p;
  return args;
}

}  // namespace HEED_ABI
}  // namespace heed
