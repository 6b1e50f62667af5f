// Where everything in a heat map goes: cells large enough for what they must show, margins wide
// enough for the labels, nothing over an edge. Decided first, drawn after (heatmap.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/inspect/axis.hpp"
#include "heed/inspect/canvas.hpp"
#include "heed/inspect/cells.hpp"
#include "heed/inspect/colormap.hpp"
#include "heed/inspect/format.hpp"
#include "heed/inspect/image.hpp"

namespace heed::inspect {

struct HeatmapOptions {
  std::string title = {};
  std::vector<std::string> row_labels = {}, column_labels = {};  // none: indices are shown
  std::string row_name = "query", column_name = "key";           // beside the axes; may be empty
  Colormap colors = blues();
  std::optional<Range> range =
      {};               // default: from the finite values, with 0; symmetric for a diverging map
  bool values = false;  // two decimals in each cell
  bool color_bar = true;
  bool square_cells = true;  // false: the plot is a square, whatever the matrix
  int plot_size = 320;       // pixels of the longer side, more where labels need it
};

inline namespace HEED_ABI {

namespace heat {

inline constexpr int margin = 12, gap = 7, bar_width = 14, legend_line = 20;
inline constexpr double title_cap = 11, name_cap = 9.5, value_cap = 8.5;
inline constexpr int largest_cell = 48, labelled_cell = 22, widest_labelled_plot = 1200;

inline std::string value_text(double value) {
  if (is_nan(value)) return "NaN";
  if (!is_finite(value)) return value > 0 ? "inf" : "-inf";
  const std::string text = formatted(std::abs(value) < 1000 ? "%.2f" : "%.1e", value);
  return text == "-0.00" ? "0.00" : text;
}

inline Range range_of(const Cells& cells, const HeatmapOptions& options) {
  if (options.range && options.range->low < options.range->high) return *options.range;
  if (!cells.summary.has_finite()) return {0, 1};
  Range range{cells.summary.low, cells.summary.high};
  if (options.colors.diverging()) {
    const double reach = std::max(std::abs(range.low), std::abs(range.high));
    return reach > 0 ? Range{-reach, reach} : Range{-1, 1};
  }
  range = {std::min(0.0, range.low), std::max(0.0, range.high)};
  return range.low < range.high ? range : Range{0, 1};
}

inline Color color_of(double value, Range range, const Colormap& colors) {
  if (is_nan(value)) return palette::not_a_number;
  if (!is_finite(value)) return value > 0 ? palette::plus_infinity : palette::minus_infinity;
  // Halved first: the width of a range may itself overflow.
  return colors((value / 2 - range.low / 2) / (range.high / 2 - range.low / 2));
}

inline void check_labels(const char* side, std::size_t labels, Index count) {
  if (labels == 0 || static_cast<Index>(labels) == count) return;
  throw Error("heed::inspect::heatmap: " + std::to_string(labels) + " " + side + " labels for " +
              std::to_string(count) + " " + side + "s");
}

struct LegendEntry {
  Color color;
  std::string text;
};

inline std::vector<LegendEntry> legend_of(const Cells& cells) {
  std::vector<LegendEntry> legend;
  const auto add = [&](Index count, Color color, const char* name) {
    if (count > 0)
      legend.push_back({color, std::string(name) + " (" + std::to_string(count) + ")"});
  };
  add(cells.summary.nan, palette::not_a_number, "NaN");
  add(cells.summary.minus_infinity, palette::minus_infinity, "-inf");
  add(cells.summary.plus_infinity, palette::plus_infinity, "+inf");
  return legend;
}

// Pixels of one cell along a side with `count` cells.
inline int cell_pixels(std::size_t count, bool labelled, int plot_size, double least) {
  const int n = static_cast<int>(std::max<std::size_t>(count, 1));
  const int wanted = labelled ? std::min(labelled_cell, widest_labelled_plot / n) : 1;
  const int fitting = std::clamp(plot_size / n, 1, largest_cell);
  return std::max({fitting, wanted, static_cast<int>(std::ceil(least))});
}

// Where everything goes. All in pixels; the plot holds the cells and nothing else.
struct Layout {
  Rect plot;
  int cell_width = 1, cell_height = 1;
  Range range;
  Axis rows, columns, bar;
  std::vector<LegendEntry> legend;
  int width = 0, height = 0;
};

inline void choose_cells(Layout& layout, const Cells& cells, const HeatmapOptions& options) {
  double value_width = 0;
  if (options.values) {
    for (const double v : cells.values) {
      value_width = std::max(value_width, text_width(value_text(v), value_cap));
    }
  }
  const double across = options.values ? value_width + 12 : 1;
  const double down = options.values ? value_cap + 12 : 1;
  int width = cell_pixels(cells.columns, !options.column_labels.empty(), options.plot_size, across);
  int height = cell_pixels(cells.rows, !options.row_labels.empty(), options.plot_size, down);
  if (options.square_cells) {
    const auto longer = std::max(cells.rows, cells.columns);
    const int side = cell_pixels(longer, false, options.plot_size, 1);
    const bool labelled = !options.row_labels.empty() || !options.column_labels.empty();
    const int wanted = cell_pixels(longer, labelled, options.plot_size, std::max(across, down));
    width = height = std::max(side, wanted);
  }
  layout.cell_width = width, layout.cell_height = height;
  constexpr int empty_plot_width = 160, empty_plot_height = 80;
  layout.plot.width =
      cells.columns == 0 ? empty_plot_width : width * static_cast<int>(cells.columns);
  layout.plot.height = cells.rows == 0 ? empty_plot_height : height * static_cast<int>(cells.rows);
}

inline double legend_width(const std::vector<LegendEntry>& legend) {
  double width = 0;
  for (const LegendEntry& entry : legend) width += 36 + text_width(entry.text, axis::label_cap);
  return width;
}

inline Layout arrange(const Cells& cells, const HeatmapOptions& options) {
  Layout layout;
  choose_cells(layout, cells, options);
  Rect& plot = layout.plot;
  layout.range = range_of(cells, options);
  layout.rows = row_axis(cells.matrix_rows, plot.height, options.row_labels);
  layout.columns = column_axis(cells.matrix_columns, plot.width, options.column_labels);
  layout.legend = legend_of(cells);
  const int name = static_cast<int>(name_cap) + 2 * gap;  // an axis' name with space around it
  const double left = margin + (options.row_name.empty() ? 0 : name) + layout.rows.depth + 2 * gap;
  plot.x = static_cast<int>(std::ceil(std::max(left, margin + layout.columns.overhang)));
  plot.y = margin + (options.title.empty() ? 0 : static_cast<int>(title_cap) + 2 * gap);
  double right = plot.x + plot.width + margin;
  if (options.color_bar) {
    layout.bar = bar_axis(layout.range, plot.height);
    right += bar_width + 2 * gap + layout.bar.depth + gap;
  }
  const double title = text_width(options.title, title_cap) / 2;
  right = std::max({right, plot.x + plot.width / 2.0 + title + margin, 2 * (title + margin),
                    plot.x + legend_width(layout.legend) + margin});
  layout.width = static_cast<int>(std::ceil(right));
  const double below = gap + layout.columns.depth + gap + (options.column_name.empty() ? 0 : name) +
                       (layout.legend.empty() ? 0 : legend_line);
  layout.height = plot.y + plot.height + static_cast<int>(std::ceil(below)) + margin / 2;
  return layout;
}

}  // namespace heat
}  // namespace HEED_ABI
}  // namespace heed::inspect
