// Axis: which labels fit along an edge, how they must turn, and how much room they take.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/plot/canvas.hpp"
#include "heed/plot/cells.hpp"
#include "heed/plot/format.hpp"
#include "heed/plot/whole.hpp"

namespace heed::plot {

struct Tick {
  double position = 0;  // pixels from the axis' beginning
  std::string text;
};

// Ticks along one edge of a plot and the room their text needs, in pixels.
struct Axis {
  std::vector<Tick> ticks;
  double degrees = 0;   // 0, 45 or 90
  double depth = 0;     // away from the plot
  double overhang = 0;  // to the left of the plot's left edge, of turned column labels
};

inline namespace HEED_ABI {

namespace axis {

inline constexpr double label_cap = 11, longest_label = 180, line_gap = 4;

// 1, 2 or 5 times a power of ten, not below `least`.
inline double nice_step(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

inline std::string number_text(double value) { return formatted("%.3g", value == 0 ? 0.0 : value); }

// One tick a label where that fits, else every k-th, at the middle of its row or column. Without
// labels, round indices at least `index_room` pixels apart.
inline std::vector<Tick> choose_ticks(Index count, double pixels,
                                      const std::vector<std::string>& labels, double index_room) {
  std::vector<Tick> ticks;
  if (count == 0) return ticks;
  const double pitch = pixels / static_cast<double>(count);
  const double spacing = labels.empty() ? index_room : label_cap + line_gap;
  const double least = std::max(1.0, spacing / pitch);
  const Index step = labels.empty() ? whole<Index>(nice_step(least) + 0.5) : whole_up<Index>(least);
  const auto last = labels.empty() ? count : std::min(count, static_cast<Index>(labels.size()));
  for (Index i = 0; i < last; i += step) {
    const double middle = (static_cast<double>(i) + 0.5) * pitch;
    ticks.push_back({middle, labels.empty() ? std::to_string(i)
                                            : fit_text(labels[static_cast<std::size_t>(i)],
                                                       label_cap, longest_label)});
  }
  return ticks;
}

inline double widest(const std::vector<Tick>& ticks) {
  double width = 0;
  for (const Tick& tick : ticks) width = std::max(width, text_width(tick.text, label_cap));
  return width;
}

inline double closest(const std::vector<Tick>& ticks) {
  return ticks.size() < 2 ? 1e9 : ticks[1].position - ticks[0].position;
}

}  // namespace axis

// Labels left of the rows, always upright.
inline Axis row_axis(Index count, double pixels, const std::vector<std::string>& labels) {
  Axis result;
  result.ticks = axis::choose_ticks(count, pixels, labels, 22);
  result.depth = axis::widest(result.ticks);
  return result;
}

// Labels below the columns: level if they fit, else turned by 45 degrees, else upright on edge.
inline Axis column_axis(Index count, double pixels, const std::vector<std::string>& labels) {
  Axis result;
  result.ticks = axis::choose_ticks(count, pixels, labels, 44);
  const double width = axis::widest(result.ticks), pitch = axis::closest(result.ticks);
  const double line = axis::label_cap + axis::line_gap;
  if (width + line <= pitch) {
    result.depth = axis::label_cap;
    return result;
  }
  result.degrees = pitch >= line * std::numbers::sqrt2 ? 45 : 90;
  const double angle = result.degrees * std::numbers::pi / 180;
  result.depth = width * std::sin(angle) + axis::label_cap * std::cos(angle);
  for (const Tick& tick : result.ticks) {
    const double run = (text_width(tick.text, axis::label_cap) + axis::label_cap) * std::cos(angle);
    result.overhang = std::max(result.overhang, run - tick.position);
  }
  return result;
}

// Numbers beside a colour bar: both ends always, round values between them where there is room.
// Positions count from the top, where the range's high end is. A range too wide for double's
// differences has its ends alone.
inline Axis bar_axis(Range range, double pixels) {
  Axis result;
  const double width = range.high - range.low, room = axis::label_cap + 2 * axis::line_gap;
  constexpr int most_between = 6;  // a step is a fifth of the range at least
  const double step = axis::nice_step(width * std::max(room / pixels, 0.2));
  result.ticks = {{0, axis::number_text(range.high)}, {pixels, axis::number_text(range.low)}};
  const double first = std::ceil(range.low / step) * step;
  for (int n = 0; n < most_between && is_finite(width) && step > 0; ++n) {
    const double value = first + n * step;  // a sum of steps stands still where they are tiny
    if (value >= range.high) break;
    const double position = pixels * (range.high - value) / width;
    const double rounded = std::abs(value) < step / 1000 ? 0 : value;
    if (position < room || position > pixels - room) continue;
    result.ticks.push_back({position, axis::number_text(rounded)});
  }
  result.depth = axis::widest(result.ticks);
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::plot
