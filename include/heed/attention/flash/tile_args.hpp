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

// All rows of a task.
template <class R>
simd::PackedA<R> packed_queries(const FlashScratch<R>& scratch, const FlashPlan& plan,
                                const Shape& shape) {
  return {scratch.q, shape.D, plan.tile_shape};
}
template <class R>
simd::PackedB<R> packed_keys(const FlashScratch<R>& scratch, const FlashPlan& plan,
                             const Shape& shape) {
  return {scratch.kt, shape.D, plan.block, plan.tile_shape};
}
template <class R>
simd::PackedB<R> packed_values(const FlashScratch<R>& scratch, const FlashPlan& plan,
                               const Shape& shape) {
  return {scratch.v, plan.block, plan.tile_shape.columns(shape.Dv), plan.value_shape};
}

// Rows [row, row + queries) of a task against a block of `keys` keys; row begins a row tile.
template <class R>
TileArgs<R> make_tile_args(const FlashScratch<R>& scratch, const simd::RowState<R>& state,
                           const FlashPlan& plan, const Shape& shape, int row, int queries,
                           int keys) {
  TileArgs<R> args{
      packed_queries(scratch, plan, shape).from_row(row), packed_keys(scratch, plan, shape),
      packed_values(scratch, plan, shape),
      simd::ScoreTiles<R>::of(plan.tile_shape, scratch.scores, scratch.coverage, queries, keys),
      state.from_row(row)};
  args.scores.packed_p = scratch.packed_p;
  return args;
}

}  // namespace HEED_ABI
}  // namespace heed
