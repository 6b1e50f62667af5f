// The kernels of one instruction set, as a table of functions.
#pragma once

#include "heed/core/types.hpp"
#include "heed/core/view.hpp"
#include "heed/simd/layer.hpp"
#include "heed/simd/strip.hpp"
#include "heed/simd/vector.hpp"

namespace heed::simd {

// Kernels for tensors of T, summed in R. What each does is said where it is defined:
// packing.inl, products.inl, direct.inl, softmax.inl. Those of direct.inl are null where numbers
// are pairs: what is read where it lies is not (kernels() in kernels.hpp).
template <class T>
struct Kernels {
  using R = Accum<T>;

  Geometry geometry;
  // These return false where dots might make NaN of what is infinite (tiles.inl).
  bool (*load_rows)(const View<const T, 2>& x, int count, R scale, R* to);
  bool (*pack_keys)(const View<const T, 2>& x, int keys, R* to);
  bool (*pack_values)(const View<const T, 2>& x, int keys, Index capacity, R* to);
  bool (*all_finite)(const View<const T, 2>& x, int count);
  void (*dots)(const Strip<R>& strip);
  void (*dots_direct)(const Strip<R>& strip, const View<const T, 2>& k);
  bool (*all_seen)(const Strip<R>& strip);
  void (*softmax)(const Strip<R>& strip);
  void (*accumulate)(const Strip<R>& strip);
  void (*accumulate_direct)(const Strip<R>& strip, const View<const T, 2>& v);
  void (*accumulate_seen)(const Strip<R>& strip, const std::uint8_t* seen);
  void (*close_rows)(R* max, R* sum, Index count);
  bool (*store_rows)(const R* acc, Index columns, int first, const R* factor, int count,
                     const View<T, 2>& x);
};

}  // namespace heed::simd
