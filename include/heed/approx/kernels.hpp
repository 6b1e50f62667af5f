// The kernels of a call, chosen once: for its tensors of T, and for what is computed from them in
// R.
#pragma once

#include "heed/simd/kernels.hpp"

namespace heed::approx {

template <class T>
struct CallKernels {
  using R = Accum<T>;

  const simd::PackedKernels<T>& of_tensors;
  const simd::PackedKernels<R>& of_sums;

  // to = scale · x as R, row-major: elements' rows are packed so.
  [[gnu::always_inline]] void copy_rows(const View<const T, 2>& x, R scale, R* to) const {
    of_tensors.pack_a(x, scale, {to, x.extent[1], of_tensors.tile_shape});
  }
};

inline namespace HEED_ABI {

template <class T>
CallKernels<T> call_kernels(Isa isa) {
  return {simd::element_kernels<T>(isa), simd::element_kernels<Accum<T>>(isa)};
}

}  // namespace HEED_ABI
}  // namespace heed::approx
