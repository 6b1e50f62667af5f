// Scores on the device: what a score refers to is copied there, once a call (mask/to_device.hpp).
#pragma once

#include "heed/score/score.hpp"

namespace heed::score {

using bindable::to_device;

// A callable bound inside a kernel. Kernels alone may call it, so that nvcc refuses an unmarked
// one.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wfloat-conversion"
inline namespace HEED_ABI {

template <class F>
struct BoundDeviceFunction {
  const F* function;
  int b, h;

  template <class R>
  HEED_DEVICE_ONLY R value(R s, int i, int j) const {
    if constexpr (std::is_invocable_v<const F&, R, int, int>) {
      return static_cast<R>((*function)(s, i, j));
    } else {
      return static_cast<R>((*function)(s, b, h, i, j));
    }
  }
};

}  // namespace HEED_ABI
#pragma GCC diagnostic pop

template <class F>
struct DeviceFunction {
  F function;

  HEED_DEVICE_ONLY BoundDeviceFunction<F> bind(const Shape&, Index b, Index h) const {
    return {&function, static_cast<int>(b), static_cast<int>(h)};
  }
};

inline namespace HEED_ABI {

template <class F, class Arena>
DeviceFunction<F> to_device(const Function<F>& function, Arena&) {
  return {function.function};
}

}  // namespace HEED_ABI
}  // namespace heed::score
