// m, l and o of a task's rows: cleared before the first key, merged where the keys were split.
#pragma once

#include <algorithm>

#include "heed/core/scratch.hpp"
#include "heed/simd/kernels.hpp"
#include "heed/softmax/online.hpp"

namespace heed {

// Several states of the same rows, one behind the other.
template <class R>
struct RowStates {
  Index rows;  // of each, whole row tiles
  simd::RowState<R> first;

  [[gnu::always_inline]] RowStates(Carver& carver, Index count, Index of_rows, Index columns,
                                   const simd::TileShape& tile_shape)
      : rows(of_rows), first{nullptr, nullptr, {nullptr, columns, tile_shape}} {
    const Index all_rows = checked_product(count, rows);
    first.acc.data = carver.array<R>(simd::Accumulator<R>::size(tile_shape, all_rows, columns));
    first.max = carver.array<R>(all_rows);
    first.sum = carver.array<R>(all_rows);
  }

  simd::RowState<R> operator[](Index n) const { return first.from_row(n * rows); }
};

inline namespace HEED_ABI {

// The first `count` rows, whole row tiles, have seen nothing.
template <class R>
void clear(const simd::RowState<R>& state, Index count) {
  std::fill_n(state.max, count, softmax::Row<R>{}.max);
  std::fill_n(state.sum, count, R(0));
  std::fill_n(state.acc.data, state.acc.size(state.acc.shape, count, state.acc.columns), R(0));
}

// into becomes the state over the keys of both, for the first `rows` rows. A row that saw nothing
// in one keeps the other's bits. Compiled once per instruction set (simd::for_isa).
template <class R>
struct MergeStates {
  simd::RowState<R> into, from;

  template <int Nr>
  [[gnu::always_inline]] inline void operator()(Index rows) const {
    for (Index row = 0; row < rows; ++row) {
      if (from.sum[row] == R(0)) continue;
      auto merged =
          softmax::merge<R>({into.max[row], into.sum[row]}, {from.max[row], from.sum[row]});
      const bool alone = into.sum[row] == R(0);
      if (alone) merged = {{from.max[row], from.sum[row]}, R(0), R(1)};
      for (Index p = 0; p < into.acc.panels(); ++p) {
        R* x = into.acc.row(row, p);
        const R* y = from.acc.row(row, p);
        if (alone) {
          std::copy_n(y, into.acc.width(p), x);
        } else {
          add<Nr>(x, y, into.acc.width(p), merged);
        }
      }
      into.max[row] = merged.row.max;
      into.sum[row] = merged.row.sum;
    }
  }

 private:
  // One factor is 1, so there is one way to contract to a multiply-add, and one result. A panel as
  // wide as a register's tile has loops of known length.
  template <int Nr>
  [[gnu::always_inline]] static void add(R* __restrict x, const R* __restrict y, Index width,
                                         const softmax::Merged<R>& merged) {
    const R of_x = merged.of_a, of_y = merged.of_b;
    if (of_x == R(1)) {
      if (width == Nr) {
        for (int n = 0; n < Nr; ++n) x[n] += y[n] * of_y;
      } else {
        for (Index n = 0; n < width; ++n) x[n] += y[n] * of_y;
      }
    } else if (width == Nr) {
      for (int n = 0; n < Nr; ++n) x[n] = x[n] * of_x + y[n];
    } else {
      for (Index n = 0; n < width; ++n) x[n] = x[n] * of_x + y[n];
    }
  }
};

}  // namespace HEED_ABI
}  // namespace heed
