// m, l and o of a task's rows: cleared before the first key, merged where the keys were split.
#pragma once

#include <algorithm>

#include "heed/core/scratch.hpp"
#include "heed/simd/attention/row_state.hpp"
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

  simd::RowState<R> operator[](Index n) const {
    const simd::Accumulator<R>& acc = first.acc;
    const Index row = n * rows;
    return {
        first.max + row, first.sum + row, {acc.data + row * acc.columns, acc.columns, acc.shape}};
  }
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
    const int mr = into.acc.shape.mr;
    simd::Array<Factors, simd::max_mr> factors;
    for (Index row = 0; row < rows; row += mr) {
      const Index count = std::min<Index>(mr, rows - row);
      for (Index r = 0; r < count; ++r) factors[r] = merge_row(row + r);
      // Accumulators are read as they lie: by rows, their panels would be a KiB apart.
      for (Index p = 0; p < into.acc.panels(); ++p) {
        const Index width = into.acc.width(p);
        R* x = into.acc.tile(into.acc.shape.tile_of(row), p);
        const R* y = from.acc.tile(from.acc.shape.tile_of(row), p);
        for (Index r = 0; r < count; ++r) add<Nr>(x + r * width, y + r * width, width, factors[r]);
      }
    }
  }

 private:
  // A row that saw nothing in one state has no factor there: 0 times an infinity would be NaN.
  enum class Seen { by_both, by_from, by_into };
  struct Factors {
    Seen seen;
    R of_into, of_from;
  };

  // Merges m and l of a row.
  [[gnu::always_inline]] Factors merge_row(Index row) const {
    const softmax::Row<R> a{into.max[row], into.sum[row]}, b{from.max[row], from.sum[row]};
    if (b.fully_masked()) return {Seen::by_into, R(1), R(0)};
    const auto [both, of_a, of_b] = softmax::merge(a, b);
    into.max[row] = a.fully_masked() ? b.max : both.max;
    into.sum[row] = a.fully_masked() ? b.sum : both.sum;
    return {a.fully_masked() ? Seen::by_from : Seen::by_both, of_a, of_b};
  }

  // One factor is 1, so there is one way to contract to a multiply-add, and one result. A panel as
  // wide as a register's tile has loops of known length.
  template <int Nr>
  [[gnu::always_inline]] static void add(R* __restrict x, const R* __restrict y, Index width,
                                         const Factors& by) {
    if (by.seen == Seen::by_into) return;
    if (by.seen == Seen::by_from) {
      std::copy_n(y, width, x);
    } else if (by.of_into != R(1)) {
      if (width == Nr) {
        for (int n = 0; n < Nr; ++n) x[n] = x[n] * by.of_into + y[n];
      } else {
        for (Index n = 0; n < width; ++n) x[n] = x[n] * by.of_into + y[n];
      }
    } else if (width == Nr) {
      for (int n = 0; n < Nr; ++n) x[n] += y[n] * by.of_from;
    } else {
      for (Index n = 0; n < width; ++n) x[n] += y[n] * by.of_from;
    }
  }
};

}  // namespace HEED_ABI
}  // namespace heed
