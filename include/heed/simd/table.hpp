// The kernels of one instruction set, as a table of functions.
#pragma once

#include "heed/core/types.hpp"
#include "heed/core/view.hpp"
#include "heed/simd/gemm/tile_shape.hpp"
#include "heed/simd/layer/layer.hpp"
#include "heed/simd/vector.hpp"

namespace heed::simd {

// Kernels for tensors of T, summed in R. What each does is said where it is defined:
// packing.inl, products.inl, direct.inl, softmax.inl. Those of direct.inl are null where numbers
// are pairs: what is read where it lies is not (kernels() in kernels.hpp).
template <class T>
struct Kernels {
  using R = Accum<T>;

  TileShape tile_shape;
  // These return false where dots might make NaN of what is infinite (tiles.inl).
  bool (*pack_a)(const View<const T, 2>& x, int count, R scale, R* to);
  bool (*pack_b_transposed)(const View<const T, 2>& x, int keys, R* to);
  bool (*pack_b)(const View<const T, 2>& x, int keys, Index capacity, R* to);
  bool (*all_finite)(const View<const T, 2>& x, int count);
  void (*qk)(const TileArgs<R>& args);
  void (*qk_unpacked)(const TileArgs<R>& args, const View<const T, 2>& k);
  bool (*all_unmasked)(const TileArgs<R>& args);
  void (*softmax)(const TileArgs<R>& args);
  void (*pv)(const TileArgs<R>& args);
  void (*pv_unpacked)(const TileArgs<R>& args, const View<const T, 2>& v);
  void (*pv_masked)(const TileArgs<R>& args, const std::uint8_t* unmasked);
  void (*finalize_rows)(R* max, R* sum, Index count);
  bool (*store_rows)(const R* acc, Index columns, int first, const R* factor, int count,
                     const View<T, 2>& x);
};

}  // namespace heed::simd
