// Keys and values of a KV block that lie in several pages: slices of VL tokens, read where they
// lie.
#pragma once

#include <algorithm>

#include "heed/core/assert.hpp"
#include "heed/kv/source.hpp"
#include "heed/simd/gemm/tile_shape.hpp"

namespace heed {

// The slices of a block in whole panels, then those of the panel behind it, for prefetch.
template <class T>
struct KvSlices {
  // Of a block of 512 keys, 8 tokens each, and of a panel; shorter registers of longer blocks are
  // gathered.
  static constexpr Index room = 68;

  simd::KvSlice<T> list[room];
  Index width = 0;    // from a feature of a key to its next
  bool used = false;  // instead of runs
};

inline namespace HEED_ABI {

// Finds the slices of keys [begin, begin + keys), of which `last` ends the source or its split.
// `used` is false where they are one run, which kernels of whole panels read, where pages cut
// registers, and where there are too many.
template <class T, class Kv>
void find_slices(const Kv& kv, const Shape& shape, const simd::TileShape& tile_shape, Index begin,
                 Index keys, Index last, KvSlices<T>& to) {
  const Index vl = tile_shape.vl, nr = tile_shape.nr;
  const Index wanted = (tile_shape.panels(keys) + 1) * (nr / vl);
  HEED_ASSERT(keys > 0 && begin + keys <= last);
  Index runs = 0, found = 0;
  bool fits = wanted <= to.room;
  const auto add = [&](Index first, const kv::PanelKeys<T>& k, const View<const T, 2>& v) {
    fits &= (first - begin) % vl == 0 && k.offset % vl == 0 && k.width % vl == 0;
    fits &= runs == 0 || k.width == to.width;
    to.width = k.width;
    ++runs;
    for (Index j = 0; fits && j < k.count; j += vl) {
      to.list[found++] = {k.column(j, shape.D), v.data + j * v.stride[0]};
    }
  };
  kv.for_each_panel_run(begin, std::min(begin + keys + nr, last), add);
  to.used = fits && (runs > 1 || to.width != nr);
  if (to.used) std::fill(to.list + found, to.list + wanted, to.list[found - 1]);
}

// f(first, v) for the values of a block's slices, [VL, Dv] or less, `first` counted from its first
// key.
template <class T, class F>
void for_each_slice_of_values(const KvSlices<T>& slices, Index vl, Index keys, Index Dv, F&& f) {
  for (Index first = 0; first < keys; first += vl) {
    f(first,
      View<const T, 2>{slices.list[first / vl].v, {std::min(vl, keys - first), Dv}, {Dv, 1}});
  }
}

}  // namespace HEED_ABI
}  // namespace heed
