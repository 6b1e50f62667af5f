// The verbs that masks and scores share: check against a shape, bind to a head, copy to a device.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/device.hpp"
#include "heed/core/shape.hpp"

namespace heed::bindable {
inline namespace HEED_ABI {

// Throws heed::Error where X does not fit the shape.
template <class X>
void check(const X& x, const Shape& shape) {
  if constexpr (requires { x.check(shape); }) x.check(shape);
}

// X for one batch entry and query head; X itself where it depends on neither.
template <class X>
HEED_DEVICE auto bind(const X& x, const Shape& shape, Index b, Index h) {
  if constexpr (requires { x.bind(shape, b, h); })
    return x.bind(shape, b, h);
  else
    return x;
}

// X over memory of the device; X itself where it holds none.
template <class X, class Arena>
auto to_device(const X& x, Arena& arena) {
  if constexpr (requires { x.to_device(arena); })
    return x.to_device(arena);
  else
    return x;
}

}  // namespace HEED_ABI
}  // namespace heed::bindable
