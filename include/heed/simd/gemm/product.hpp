// One product of unpacked matrices, small or tall, packed on the way: bits depend on the operands
// alone, which Eigen's products, cut by the number of threads, do not promise.
#pragma once

#include <algorithm>
#include <vector>

#include "heed/core/view.hpp"
#include "heed/core/zeros.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::simd {

inline namespace HEED_ABI {

// y = x wᵀ, each number one sum in ascending order.
//
//   x  [n, depth]   w  [m, depth]   any strides
//   y  [n, m]       written
//
// On the calling thread. Time O(n·m·depth); scratch O(m·depth).
template <class R>
void multiply(const View<const R, 2>& x, const View<const R, 2>& w, const View<R, 2>& y) {
  const LayerKernels<R>& kernels = layer_kernels<R>(isa());
  const TileShape& tile_shape = kernels.tile_shape;
  const Index n = x.extent[0], m = w.extent[0], depth = x.extent[1];
  const Index room = 16 * tile_shape.mr, panel = tile_shape.nr;
  const auto numbers = [](Index count) { return static_cast<std::size_t>(count); };
  const Index columns = tile_shape.panels(m) * panel;
  auto packed_w = zeros<R>(PackedB<R>::size(tile_shape, depth, columns));
  auto packed_x = zeros<R>(checked_product(room, depth)), sums = zeros<R>(room * panel);
  const PackedB<R> b{packed_w.data(), depth, columns, tile_shape};
  const BlockedA<R> a{packed_x.data(), room, depth};
  std::vector<R*> rows(numbers(room));
  for (Index p = 0; p < b.panels(); ++p) {
    kernels.pack_weight(slice(w, p * panel, std::min(panel, m - p * panel)), b.from_panel(p));
  }
  for (Index first = 0; first < n; first += room) {
    const Index count = std::min(room, n - first);
    kernels.pack_rows(slice(x, first, count), 0, a);
    for (Index r = 0; r < count; ++r) rows[numbers(r)] = y.data + (first + r) * y.stride[0];
    for (Index p = 0; p < b.panels(); ++p) {
      const Index width = std::min(panel, m - p * panel);
      kernels.multiply(a, count, b.from_panel(p), sums.data());
      kernels.finish(sums.data(), count,
                     {rows.data(), y.stride[1], p * panel, width, nullptr, Activation::none});
    }
  }
}

// Rows of any type as R, row-major.
template <class R, class T>
std::vector<R> rows_as(const View<const T, 2>& x) {
  auto rows = zeros<R>(checked_product(x.extent[0], x.extent[1]));
  if constexpr (std::is_same_v<R, Accum<T>>) {
    const PackedKernels<T>& kernels = element_kernels<T>(isa());
    kernels.pack_a(x, R(1), {rows.data(), x.extent[1], kernels.tile_shape});
  } else {
    R* to = rows.data();
    for (Index r = 0; r < x.extent[0]; ++r) {
      for (Index d = 0; d < x.extent[1]; ++d) *to++ = static_cast<R>(x(r, d));
    }
  }
  return rows;
}

// sum = xᵀ w, in R: blocks of 256 rows are summed apart and added up in ascending order.
//
//   x    [L, n]   w  [L, m]   any strides and types
//   sum  [n, m]   written, row-major
//
// On the calling thread. Time O(L·n·m); scratch O(n + m).
template <class R, class T>
void multiply_columns(const View<const T, 2>& x, const View<const T, 2>& w, R* sum) {
  constexpr Index block = 256;
  const Index n = x.extent[1], m = w.extent[1];
  auto part = zeros<R>(checked_product(n, m));
  std::fill_n(sum, n * m, R(0));
  for (Index first = 0; first < x.extent[0]; first += block) {
    const Index count = std::min(block, x.extent[0] - first);
    const std::vector<R> of_x = rows_as<R>(slice(x, first, count));
    const std::vector<R> of_w = rows_as<R>(slice(w, first, count));
    multiply<R>(transposed(matrix_of(of_x.data(), count, n)),
                transposed(matrix_of(of_w.data(), count, m)), matrix_of(part.data(), n, m));
    for (Index at = 0; at < n * m; ++at) sum[at] += part[static_cast<std::size_t>(at)];
  }
}

}  // namespace HEED_ABI
}  // namespace heed::simd
