// m, l and o of a task's rows: cleared before the first key, merged where the keys were split.
#pragma once

#include <algorithm>

#include "heed/core/scratch.hpp"
#include "heed/simd/attention/row_state.hpp"
#include "heed/simd/kernels.hpp"
#include "heed/softmax/online.hpp"

namespace heed {

inline namespace HEED_ABI {

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

  [[gnu::noinline]] simd::RowState<R> operator[](Index n) const {
    const simd::Accumulator<R>& acc = first.acc;
    const Index row = n * rows;
    return {
        first.max + row, first.sum + row, {acc.data + row * acc.columns, acc.columns, acc.shape}};
  }
};

// The first `count` rows, whole row tiles, have seen nothing.
template <class R>
void clear(const simd::RowState<R>& state, Index count) {
  std::fill_n(state.max, count, softmax::Row<R>{}.max);
  std::fill_n(state.sum, count, R(0));
  std::fill_n(state.acc.data, state.acc.size(state.acc.shape, count, state.acc.columns), R(0));
}

// A row that saw nothing in one state has no factor there: 0 times an infinity would be NaN.
template <class R>
struct MergeFactors {
  enum class Seen { by_both, by_from, by_into } seen;
  R of_into, of_from;
};

// o of some rows of a tile and panel becomes that of both states. Compiled once per instruction set
// (simd::for_isa); all else of a merge is compiled once.
template <class R>
struct MergeTile {
  R* into;
  const R* from;
  Index width;
  const MergeFactors<R>* by;  // a row each

  template <int Nr>
  [[gnu::always_inline]] inline void operator()(Index rows) const {
    using Seen = typename MergeFactors<R>::Seen;
    for (Index r = 0; r < rows; ++r) {
      R* x = into + r * width;
      const R* y = from + r * width;
      if (by[r].seen == Seen::by_from) std::copy_n(y, width, x);
      if (by[r].seen != Seen::by_both) continue;
      const bool into_is_lower = by[r].of_into != R(1);
      multiply_add<Nr>(x, into_is_lower ? x : y, into_is_lower ? by[r].of_into : by[r].of_from,
                       into_is_lower ? y : x);
    }
  }

 private:
  // x = a · factor + b, where x is a or b. One factor is 1, so there is one way to contract to a
  // multiply-add, and one result. A panel as wide as a register's tile has a loop of known length.
  template <int Nr>
  [[gnu::always_inline]] void multiply_add(R* x, const R* a, R factor, const R* b) const {
    if (width == Nr) {
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
      for (int n = 0; n < Nr; ++n) x[n] = a[n] * factor + b[n];
    } else {
      for (Index n = 0; n < width; ++n) x[n] = a[n] * factor + b[n];
    }
  }
};

// Merges m and l of a row.
template <class R>
MergeFactors<R> merge_row(const simd::RowState<R>& into, const simd::RowState<R>& from, Index row) {
  using Seen = typename MergeFactors<R>::Seen;
  const softmax::Row<R> a{into.max[row], into.sum[row]}, b{from.max[row], from.sum[row]};
  if (b.fully_masked()) return {Seen::by_into, R(1), R(0)};
  const auto [both, of_a, of_b] = softmax::merge(a, b);
  into.max[row] = a.fully_masked() ? b.max : both.max;
  into.sum[row] = a.fully_masked() ? b.sum : both.sum;
  return {a.fully_masked() ? Seen::by_from : Seen::by_both, of_a, of_b};
}

// into becomes the state over the keys of both, for the first `rows` rows. A row that saw nothing
// in one keeps the other's bits. Both lie alike.
template <class R>
void merge_states(Isa isa, const simd::RowState<R>& into, const simd::RowState<R>& from,
                  Index rows) {
  const auto merge_tile = simd::for_isa<R, MergeTile<R>, Index>(isa);
  const int mr = into.acc.shape.mr;
  simd::Array<MergeFactors<R>, simd::max_mr> factors;
  for (Index row = 0; row < rows; row += mr) {
    const Index count = std::min<Index>(mr, rows - row);
    for (Index r = 0; r < count; ++r) factors[r] = merge_row(into, from, row + r);
    // Accumulators are read as they lie: by rows, their panels would be a KiB apart.
    for (Index p = 0; p < into.acc.panels(); ++p) {
      R* const tile = into.acc.tile(into.acc.shape.tile_of(row), p);
      merge_tile({tile, from.acc.data + (tile - into.acc.data), into.acc.width(p), &factors[0]},
                 count);
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed
