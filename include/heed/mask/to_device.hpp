// Masks on the device: what a mask refers to is copied there, once a call.
//
// A mask that holds memory has a member `to_device(arena)`, which returns the same mask over
// `arena.copy(memory)`; one that holds none goes as it is. Both must be trivially copyable.
#pragma once

#include "heed/mask/mask.hpp"

namespace heed::mask {

using bindable::to_device;

inline namespace HEED_ABI {

// A callable bound inside a kernel. Kernels alone may call it, so that nvcc refuses an unmarked
// one.
template <class F>
struct BoundDevicePredicate {
  const F* function;
  int b, h;

  HEED_DEVICE_ONLY bool allows(int i, int j) const {
    if constexpr (MaskOfPair<F>)
      return (*function)(i, j);
    else
      return (*function)(b, h, i, j);
  }
  HEED_DEVICE_ONLY Coverage coverage(Tile) const { return Coverage::Partial; }
};

}  // namespace HEED_ABI

template <class F>
struct DevicePredicate {
  F function;

  HEED_DEVICE_ONLY BoundDevicePredicate<F> bind(const Shape&, Index b, Index h) const {
    return {&function, static_cast<int>(b), static_cast<int>(h)};
  }
};

inline namespace HEED_ABI {

template <class F, class Arena>
DevicePredicate<F> to_device(const Predicate<F>& predicate, Arena&) {
  return {predicate.function};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
