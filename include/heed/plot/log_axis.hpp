// A logarithmic axis: where a value lies on it, and its round numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/plot/axis.hpp"
#include "heed/plot/cells.hpp"
#include "heed/plot/whole.hpp"

namespace heed::plot {
inline namespace HEED_ABI {

namespace scatter_plot {

// The logarithm of the quotient, which itself may overflow.
inline double log_ratio(double above, double below) { return std::log(above) - std::log(below); }

// Where a value lies on a logarithmic axis: 0 at the low end, 1 at the high one.
inline double along(Range range, double value) {
  return log_ratio(value, range.low) / log_ratio(range.high, range.low);
}

// 1, 2 and 5 times each power of ten where that leaves `room` pixels, else the powers, else every
// k-th of them.
inline std::vector<Tick> log_ticks(Range range, double pixels, double room) {
  const double decade = pixels / (std::log10(range.high) - std::log10(range.low));
  const bool all = decade * std::log10(2.0) >= room;
  const int step = std::max(1, whole_up(room / decade));
  const int first = whole_down(std::log10(range.low));
  const int last = whole_up(std::log10(range.high));
  std::vector<Tick> ticks;
  for (int power = first; power <= last; ++power) {
    if (power % step != 0) continue;
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double value = factor * std::pow(10.0, power), t = along(range, value);
      if (t < -1e-9 || t > 1 + 1e-9 || (factor > 1 && !all)) continue;
      ticks.push_back({pixels * t, axis::number_text(value)});
    }
  }
  return ticks;
}

}  // namespace scatter_plot
}  // namespace HEED_ABI
}  // namespace heed::plot
