// The legend below a heat map: the cells that its colour bar cannot explain, counted.
#pragma once

#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"
#include "heed/plot/axis.hpp"
#include "heed/plot/canvas.hpp"
#include "heed/plot/cells.hpp"
#include "heed/plot/colormap.hpp"
#include "heed/plot/image.hpp"

namespace heed::plot {
inline namespace HEED_ABI {

namespace heat {

inline constexpr int legend_line = 22, swatch = 12;

struct LegendEntry {
  Color color;
  std::string text;
  double x = 0;  // from the plot's left edge
  int line = 0;
};

inline double legend_width(const LegendEntry& entry) {
  return 36 + text_width(entry.text, axis::label_cap);
}

// Counts beside the colour bar: numbers that are not finite, cells outside
// `range`.
inline std::vector<LegendEntry> legend_of(const Cells& cells, const Range& range,
                                          const Colormap& colors) {
  std::vector<LegendEntry> legend;
  const auto add = [&](Index count, Color color, const std::string& name) {
    if (count > 0) legend.push_back({color, name + " (" + std::to_string(count) + ")"});
  };
  Index below = 0, above = 0;
  for (const double value : cells.values) {
    below += is_finite(value) && value < range.low ? 1 : 0;
    above += is_finite(value) && value > range.high ? 1 : 0;
  }
  add(below, colors(0), "below " + axis::number_text(range.low));
  add(above, colors(1), "above " + axis::number_text(range.high));
  add(cells.summary.nan, palette::not_a_number, "NaN");
  add(cells.summary.minus_infinity, palette::minus_infinity, "-inf");
  add(cells.summary.plus_infinity, palette::plus_infinity, "+inf");
  return legend;
}

// Breaks the entries into lines of at most `room` pixels; returns how many lines.
inline int place_legend(std::vector<LegendEntry>& legend, double room) {
  double x = 0;
  int line = 0;
  for (LegendEntry& entry : legend) {
    const double width = legend_width(entry);
    if (x > 0 && x + width > room) x = 0, ++line;
    entry.x = x, entry.line = line;
    x += width;
  }
  return legend.empty() ? 0 : line + 1;
}

}  // namespace heat
}  // namespace HEED_ABI
}  // namespace heed::plot
