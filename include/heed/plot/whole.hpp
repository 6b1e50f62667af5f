// Whole: doubles become whole numbers here and nowhere else in plot, so that a NaN, an infinity
// or a coordinate far outside the picture is clamped; static_cast alone would be undefined.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"

namespace heed::plot {
inline namespace HEED_ABI {

// The value without its fraction, within ± a quarter of Int's range: sums of two cannot overflow.
// A NaN is the low end.
template <class Int = int>
constexpr Int whole(double value) {
  constexpr Int limit = std::numeric_limits<Int>::max() / 4;
  constexpr auto high = static_cast<double>(limit);
  if (is_nan(value) || value <= -high) return -limit;
  return value >= high ? limit : static_cast<Int>(value);
}

template <class Int = int>
Int whole_down(double value) {
  return whole<Int>(std::floor(value));
}

template <class Int = int>
Int whole_up(double value) {
  return whole<Int>(std::ceil(value));
}

// The entry of a table of `count` at t in [0, 1]; outside, and for a NaN, that at the nearer end.
inline std::size_t table_index(double t, std::size_t count) {
  const double last = static_cast<double>(count - 1);
  return static_cast<std::size_t>(std::max(0, whole_down(std::min(t, 1.0) * last + 0.5)));
}

}  // namespace HEED_ABI
}  // namespace heed::plot
