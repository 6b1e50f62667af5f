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
#include "heed/plot/axis.hpp"
#include "heed/plot/canvas.hpp"
#include "heed/plot/cells.hpp"
#include "heed/plot/colormap.hpp"
#include "heed/plot/format.hpp"
#include "heed/plot/heatmap_legend.hpp"
#include "heed/plot/image.hpp"
#include "heed/plot/whole.hpp"

namespace heed::plot {

struct HeatmapOptions {
  std::string title = {};
  std::vector<std::string> row_labels = {}, column_labels = {};  // none: indices are shown
  std::string row_name = "query", column_name = "key";           // beside the axes; may be empty
  Colormap colors = blues();
  // Default, and instead of one whose ends are equal: from the finite values, with 0; symmetric for
  // a diverging map. A value outside has the colour of the nearer end, and the legend counts it.
  std::optional<Range> range = {};
  bool values = false;  // two decimals in each cell
  bool color_bar = true;
  bool square_cells = true;           // false: the plot is a square, whatever the matrix
  std::optional<int> plot_size = {};  // pixels of the longer side, more where labels need it;
                                      // default: 320, but no cell above 48
};

inline namespace HEED_ABI {

namespace heat {

inline constexpr int margin = 12, gap = 7, bar_width = 14;
inline constexpr int least_bar = 90, least_title = 240;
inline constexpr double title_cap = 12, name_cap = 11.5, value_cap = 10;
inline constexpr int usual_plot = 320, usual_cell = 48;
inline constexpr int labelled_cell = 25, widest_labelled_plot = 1200;

inline std::string value_text(double value) {
  if (is_nan(value)) return "NaN";
  if (!is_finite(value)) return value > 0 ? "inf" : "-inf";
  const std::string text = formatted(std::abs(value) < 1000 ? "%.2f" : "%.1e", value);
  return text == "-0.00" ? "0.00" : text;
}

inline void check_range(const Range& range) {
  if (is_finite(range.low) && is_finite(range.high) && range.low <= range.high) return;
  throw Error("heed::plot::heatmap: range is " + axis::number_text(range.low) + " ... " +
              axis::number_text(range.high) +
              "; both ends must be finite and the first not above the second");
}

inline Range range_of(const Cells& cells, const HeatmapOptions& options) {
  if (options.range) check_range(*options.range);
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
  const double width = range.high - range.low;
  if (is_finite(width)) return colors((value - range.low) / width);
  return colors((value / 2 - range.low / 2) / (range.high / 2 - range.low / 2));
}

inline void check_labels(const char* side, std::size_t labels, Index count) {
  if (labels == 0 || static_cast<Index>(labels) == count) return;
  throw Error("heed::plot::heatmap: " + std::to_string(labels) + " " + side + " labels for " +
              std::to_string(count) + " " + side + "s");
}

// Pixels that one of `count` cells needs along a side: for its value, and for its label where not
// too many have one.
inline double least_cell(std::size_t count, bool labelled, double value) {
  const int n = static_cast<int>(std::max<std::size_t>(count, 1));
  return std::max({1.0, std::ceil(value),
                   labelled ? 1.0 * std::min(labelled_cell, widest_labelled_plot / n) : 1.0});
}

// Where everything goes. All in pixels; the plot holds the cells and nothing else.
struct Layout {
  Rect plot;
  int cell_width = 1, cell_height = 1;  // of the smallest; all are equal where they are square
  Range range;
  Axis rows, columns, bar;
  int bar_height = 0;
  std::vector<std::string> title;  // its lines
  int title_lines = 0;             // that have room above the plot
  std::vector<LegendEntry> legend;
  int width = 0, height = 0;

  // Cells share the plot's pixels: where those are not a multiple, some have one more.
  Rect cell(std::size_t row, std::size_t column, const Cells& cells) const {
    const auto edge = [](int pixels, std::size_t n, std::size_t count) {
      return static_cast<int>(static_cast<std::size_t>(pixels) * n / count);
    };
    const int x = edge(plot.width, column, cells.columns), y = edge(plot.height, row, cells.rows);
    return {plot.x + x, plot.y + y, edge(plot.width, column + 1, cells.columns) - x,
            edge(plot.height, row + 1, cells.rows) - y};
  }
};

inline double widest_value(const Cells& cells) {
  double width = 0;
  for (const double v : cells.values) {
    width = std::max(width, text_width(value_text(v), value_cap));
  }
  return width;
}

// Pixels of the plot's longer side before labels and values ask for more.
inline double wanted_side(const Cells& cells, const HeatmapOptions& options) {
  const auto longer = static_cast<double>(std::max<std::size_t>({cells.rows, cells.columns, 1}));
  if (options.plot_size) return std::max(longer, 1.0 * *options.plot_size);
  return std::clamp(1.0 * usual_plot, longer, longer * usual_cell);
}

// Throws heed::Error for more pixels than a picture may have.
inline void choose_cells(Layout& layout, const Cells& cells, const HeatmapOptions& options) {
  constexpr const char* call = "heed::plot::heatmap";
  constexpr double around_value = 12, empty_width = 160, empty_height = 80;
  const auto rows = static_cast<double>(cells.rows), columns = static_cast<double>(cells.columns);
  const double tall = options.values ? value_cap + around_value : 1;
  check_picture(call, columns * tall, rows * tall);  // texts are wider than high: before measuring
  const double wide = options.values ? widest_value(cells) + around_value : 1;
  const bool row_labels = !options.row_labels.empty(),
             column_labels = !options.column_labels.empty();
  double width = least_cell(cells.columns, column_labels, wide);
  double height = least_cell(cells.rows, row_labels, tall);
  double side = wanted_side(cells, options);
  if (options.square_cells) {
    const std::size_t longer = std::max<std::size_t>({cells.rows, cells.columns, 1});
    const double least = least_cell(longer, row_labels || column_labels, std::max(wide, tall));
    width = height = std::max(least, std::floor(side / static_cast<double>(longer)));
    check_picture(call, width * columns, height * rows);
    layout.plot = {0, 0, whole(width * columns), whole(height * rows)};
  } else {
    side = std::max({side, width * columns, height * rows});
    check_picture(call, side, side);
    layout.plot = {0, 0, whole(side), whole(side)};
  }
  if (cells.columns == 0) layout.plot.width = whole(empty_width);
  if (cells.rows == 0) layout.plot.height = whole(empty_height);
  layout.cell_width = layout.plot.width / whole(std::max(columns, 1.0));
  layout.cell_height = layout.plot.height / whole(std::max(rows, 1.0));
}

// Breaks the title into lines and returns the pixels above the plot, with room for `least_lines`.
inline double choose_title(Layout& layout, const std::string& title, int least_lines) {
  layout.title = wrap_text(title, title_cap, std::max(layout.plot.width, least_title));
  layout.title_lines = std::max(least_lines, static_cast<int>(layout.title.size()));
  if (layout.title_lines == 0) return margin;
  return margin + layout.title_lines * (title_cap + gap) + gap;
}

inline double title_width(const Layout& layout) {
  double width = 0;
  for (const std::string& line : layout.title) {
    width = std::max(width, text_width(line, title_cap));
  }
  return width;
}

// The title stands over the plot's middle, and the plot moves to the right where that needs room.
// `title_lines` is for panels beside each other: their plots begin at the same height.
inline Layout arrange(const Cells& cells, const HeatmapOptions& options, int title_lines = 0) {
  Layout layout;
  layout.range = range_of(cells, options);
  choose_cells(layout, cells, options);
  Rect& plot = layout.plot;
  layout.rows = row_axis(cells.matrix_rows, plot.height, options.row_labels);
  layout.columns = column_axis(cells.matrix_columns, plot.width, options.column_labels);
  layout.legend = legend_of(cells, layout.range, options.colors);
  // Texts that are centred on the plot and may be longer than it.
  const double down = (text_width(options.row_name, name_cap) - plot.height) / 2;
  const double across = text_width(options.column_name, name_cap) / 2;
  plot.y = whole_up(std::max(choose_title(layout, options.title, title_lines), margin + down));
  const double title = std::max(title_width(layout) / 2, across);
  const double name = name_cap + 2 * gap;  // an axis' name with space around it
  const double left = margin + (options.row_name.empty() ? 0 : name) + layout.rows.depth + 2 * gap;
  plot.x = whole_up(
      std::max({left, margin + layout.columns.overhang, margin + title - plot.width / 2.0}));
  double right = plot.x + plot.width + margin, bar_bottom = 0;
  if (options.color_bar) {
    layout.bar_height = std::max(plot.height, least_bar);
    layout.bar = bar_axis(layout.range, layout.bar_height);
    right += bar_width + 2 * gap + layout.bar.depth + gap;
    bar_bottom = plot.y + layout.bar_height + axis::label_cap;
  }
  right = std::max(right, plot.x + plot.width / 2.0 + title + margin);
  const int legend_lines = place_legend(layout.legend, right - margin - plot.x);
  for (const LegendEntry& e : layout.legend) {
    right = std::max(right, plot.x + e.x + legend_width(e) + margin);
  }
  const double below = gap + layout.columns.depth + gap + (options.column_name.empty() ? 0 : name);
  const double bottom = std::max({plot.y + plot.height + std::max(below, down + gap), bar_bottom});
  const double height = std::ceil(bottom + legend_line * legend_lines) + margin / 2.0;
  check_picture("heed::plot::heatmap", right, height);
  layout.width = whole_up(right), layout.height = whole(height);
  return layout;
}

}  // namespace heat
}  // namespace HEED_ABI
}  // namespace heed::plot
