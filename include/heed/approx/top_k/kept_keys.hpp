// The kept keys of all rows, with their weights and the gradients of their scores, and the sums
// over them from the keys' side.
#pragma once

#include <algorithm>

#include "heed/approx/top_k/task.hpp"
#include "heed/attention/backward.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// [B, Hq, Lq] rows of `keep` keys each.
template <class R>
struct KeptKeys {
  int* counts;  // [rows]
  int* keys;    // [rows, keep], in ascending order
  R* weights;   // [rows, keep], p
  R* d_scores;  // [rows, keep], scale · the gradient of the scaled product q·k
  Index keep;

  static KeptKeys carve(Carver& carver, const Shape& shape, Index keep) {
    const Index rows = checked_product(checked_product(shape.B, shape.Hq), shape.Lq);
    const Index all = checked_product(rows, keep);
    KeptKeys kept{};
    kept.counts = carver.array<int>(rows);
    kept.keys = carver.array<int>(all);
    kept.weights = carver.array<R>(all);
    kept.d_scores = carver.array<R>(all);
    kept.keep = keep;
    return kept;
  }
};

// sums[key − first] += weight · x for some keys of a row, in whole panels of columns.
template <class R>
struct AddToKeys {
  const int* keys;
  const R* weights;
  int first;
  Index columns;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* sums, const R* x, const int& count) const {
    for (int n = 0; n < count; ++n) {
      R* to = sums + (keys[n] - first) * columns;
      const R weight = weights[n];
      for (Index p = 0; p < columns; p += Panel) {
        for (int c = 0; c < Panel; ++c) to[p + c] += weight * x[p + c];
      }
    }
  }
};

// Sums of some keys: d = Σ weight · row of x over the rows of the group that keep them, in
// ascending order of head and query.
template <class T>
struct SumOfKeys {
  using R = Accum<T>;

  const CallKernels<T>& kernels;
  const KeptKeys<R>& kept;
  const R* weights;  // of the kept keys
  const Shape& shape;
  const View<const T, 4>& x;  // [B, Hq, Lq, n]
  const View<T, 4>& d;        // [B, Hkv, Lk, n]

  Index columns() const { return kernels.of_sums.tile_shape.columns_in_panels(x.extent[3]); }

  // sums [end − begin, columns], row [columns]
  void operator()(Index b, Index kv_head, Index begin, Index end, R* sums, R* row) const {
    const auto add = simd::for_isa<R, AddToKeys<R>, R*, const R*, int>(kernels.of_sums.isa);
    std::fill_n(sums, (end - begin) * columns(), R(0));
    std::fill_n(row, columns(), R(0));
    for (Index h = kv_head * shape.group(); h < (kv_head + 1) * shape.group(); ++h) {
      for (Index i = 0; i < shape.Lq; ++i) {
        const Index at = (b * shape.Hq + h) * shape.Lq + i;
        const int* keys = kept.keys + at * kept.keep;
        const int* const last = keys + kept.counts[at];
        const int* from = std::lower_bound(keys, last, static_cast<int>(begin));
        const auto count =
            static_cast<int>(std::lower_bound(from, last, static_cast<int>(end)) - from);
        if (count == 0) continue;
        kernels.copy_rows(slice(x.matrix(b, h), i, 1), R(1), row);
        add(AddToKeys<R>{from, weights + (from - kept.keys), static_cast<int>(begin), columns()},
            sums, row, count);
      }
    }
    for (Index j = begin; j < end; ++j) {
      for (Index n = 0; n < x.extent[3]; ++n) {
        d(b, kv_head, j, n) = static_cast<T>(sums[(j - begin) * columns() + n]);
      }
    }
  }
};

}  // namespace HEED_ABI
}  // namespace heed::approx
