// Keys and values of a source as rows, however it keeps them: in runs, in panels or in codes.
#pragma once

#include <algorithm>

#include "heed/kv/code_panels.hpp"
#include "heed/kv/source.hpp"

namespace heed::kv {

// The sizes of what is read.
struct RowSizes {
  Index D, Dv;
  Index nr;               // panel_width<U>(): codes are read so many keys at a time
  float* room = nullptr;  // [row_room(sizes)], of codes alone
};

inline namespace HEED_ABI {

// Numbers of `room`: a panel of keys, as many values, and a key.
inline Index row_room(const RowSizes& of) { return of.nr * (of.D + of.Dv) + of.D; }

// f(first, k, v) for views k [n, D] and v [n, Dv] of the keys [begin, end) in ascending order, of
// elements U. Features of keys in panels are a panel's width apart, as are those of latent values.
template <class U, class Bound, class F>
void for_each_row_run(const Bound& source, const RowSizes&, Index begin, Index end, F&& f) {
  source.for_each_run(begin, end, f);
}

template <class U, PanelSource<U> Bound, class F>
void for_each_row_run(const Bound& source, const RowSizes& of, Index begin, Index end, F&& f) {
  const auto split = [&](Index first, const PanelKeys<U>& keys, const View<const U, 2>& v) {
    for (Index j = 0, n = 0; j < keys.count; j += n) {
      n = std::min(keys.left(j), keys.count - j);
      const U* const data = keys.column(j, of.D);
      const View<const U, 2> k{data, {n, of.D}, {1, keys.width}};
      if constexpr (LatentSource<Bound>) {
        f(first + j, k, View<const U, 2>{data, {n, of.Dv}, {1, keys.width}});
      } else {
        f(first + j, k, slice(v, j, n));
      }
    }
  };
  source.for_each_panel_run(begin, end, split);
}

// Codes become numbers a panel at a time, and are rotated back a row at a time.
template <class U, CodeSource Bound, class F>
void for_each_row_run(const Bound& source, const RowSizes& of, Index begin, Index end, F&& f) {
  const simd::CodeKernels& kernels = source.kernels();
  const simd::ColumnPanels<float> keys{of.room, of.D, of.nr};
  float* const values = keys.panel(1);
  float* const key = values + of.nr * of.Dv;
  for (Index first = begin - keys.place(begin); first < end; first += of.nr) {
    const Index last = std::min(end, first + of.nr);
    source.widen(first, last, keys.data, values);
    for (Index j = std::max(first, begin); j < last; ++j) {
      float* const value = values + (j - first) * of.Dv;
      for (Index d = 0; d < of.D; ++d) key[d] = keys.at(d, j - first);
      if (source.rotated()) {
        rotate_back(kernels, key, of.D);
        rotate_back(kernels, value, of.Dv);
      }
      f(j, matrix_of<const float>(key, 1, of.D), matrix_of<const float>(value, 1, of.Dv));
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed::kv
