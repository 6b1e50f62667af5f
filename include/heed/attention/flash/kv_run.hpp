// A run of a KV block: some keys and values at equal stride, in place or copied.
#pragma once

#include <algorithm>

#include "heed/core/view.hpp"
#include "heed/kv/panels.hpp"

namespace heed {

// Some keys of a KV block and their values at equal stride.
template <class T>
struct KvRun {
  int first;  // counted from the block's first key
  View<const T, 2> k, v;
  const T* panels;  // [panels, D, NR], in k's place; the first key is their first column
};

inline namespace HEED_ABI {

// to[r][c] = x(r, c), rows contiguous.
template <class T>
void copy_rows(const View<const T, 2>& x, T* to) {
  const Index columns = x.extent[1];
  if (x.stride[1] == 1 && x.stride[0] == columns) {
    std::copy_n(x.data, x.extent[0] * columns, to);
    return;
  }
  for (Index r = 0; r < x.extent[0]; ++r) {
    for (Index c = 0; c < columns; ++c) *to++ = x(r, c);
  }
}

// f(first, k, v) for the runs of a source, whose keys are rows or panels.
template <class T, class Kv, class F>
void for_each_source_run(const Kv& kv, Index begin, Index end, F&& f) {
  if constexpr (kv::PanelSource<Kv, T>) {
    kv.for_each_panel_run(begin, end, f);
  } else {
    kv.for_each_run(begin, end, f);
  }
}

}  // namespace HEED_ABI
}  // namespace heed
