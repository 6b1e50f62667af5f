// Heatmap: one matrix as a labelled picture.
//
// Rows run down (queries), columns to the right (keys), darker means more. Cells that hold no
// finite number have colours that no map uses, and a legend counts them: a NaN must be seen.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/plot/axis.hpp"
#include "heed/plot/canvas.hpp"
#include "heed/plot/cells.hpp"
#include "heed/plot/heatmap_layout.hpp"
#include "heed/plot/image.hpp"

namespace heed::plot {
inline namespace HEED_ABI {

namespace heat {

inline void draw_cells(Image& image, const Layout& layout, const Cells& cells,
                       const HeatmapOptions& options) {
  constexpr int smallest_with_gap = 12;
  const int between = std::min(layout.cell_width, layout.cell_height) >= smallest_with_gap ? 1 : 0;
  for (std::size_t row = 0; row < cells.rows; ++row) {
    for (std::size_t column = 0; column < cells.columns; ++column) {
      const Rect cell = layout.cell(row, column, cells);
      const double value = cells.at(row, column);
      const Color ground = color_of(value, layout.range, options.colors);
      image.fill({cell.x, cell.y, cell.width - between, cell.height - between}, ground);
      if (!options.values) continue;
      draw_text(image, value_text(value), {cell.x + cell.width / 2.0, cell.y + cell.height / 2.0},
                {.cap_height = value_cap, .color = text_on(ground), .align = Align::center});
    }
  }
}

// A bar of the map's colours with its range, `axis` computed for its height.
inline void draw_bar(Image& image, Rect bar, const Axis& axis, const Colormap& colors) {
  for (int y = 0; y < bar.height; ++y) {
    const double t = 1 - (y + 0.5) / bar.height;
    image.fill({bar.x, bar.y + y, bar.width, 1}, colors(t));
  }
  image.frame({bar.x - 1, bar.y - 1, bar.width + 2, bar.height + 2}, palette::rule);
  const double right = bar.x + bar.width + 1.0;
  for (const Tick& tick : axis.ticks) {
    const double y = bar.y + tick.position;
    image.fill({whole(right), whole(y), 3, 1}, palette::rule);
    draw_text(image, tick.text, {right + gap, y}, {.cap_height = axis::label_cap});
  }
}

inline void draw_row_labels(Image& image, const Layout& layout, const std::string& name) {
  const Rect& plot = layout.plot;
  for (const Tick& tick : layout.rows.ticks) {
    const double y = plot.y + tick.position;
    image.fill({plot.x - 4, whole(y), 3, 1}, palette::rule);
    draw_text(image, tick.text, {plot.x - 2.0 * gap + 5, y},
              {.cap_height = axis::label_cap, .align = Align::right});
  }
  if (name.empty()) return;
  const double x = plot.x - 2.0 * gap - layout.rows.depth - 2.0 * gap;
  draw_text(
      image, name, {x, plot.y + plot.height / 2.0},
      {.cap_height = name_cap, .color = palette::faint_ink, .degrees = 90, .align = Align::center});
}

inline void draw_column_labels(Image& image, const Layout& layout, const std::string& name) {
  const Rect& plot = layout.plot;
  const Axis& axis = layout.columns;
  const double bottom = plot.y + plot.height;
  const Align align = axis.degrees > 0 ? Align::right : Align::center;
  const double drop = axis.degrees > 0 ? (axis.degrees < 90 ? 5 : 3) : axis::label_cap / 2 + 2;
  for (const Tick& tick : axis.ticks) {
    const double x = plot.x + tick.position;
    image.fill({whole(x), whole(bottom) + 1, 1, 3}, palette::rule);
    draw_text(image, tick.text, {x, bottom + 4 + drop},
              {.cap_height = axis::label_cap, .degrees = axis.degrees, .align = align});
  }
  if (name.empty()) return;
  draw_text(image, name, {plot.x + plot.width / 2.0, bottom + gap + axis.depth + 2 * gap + 2},
            {.cap_height = name_cap, .color = palette::faint_ink, .align = Align::center});
}

inline void draw_legend(Image& image, const Layout& layout) {
  if (layout.legend.empty()) return;
  const double last = layout.height - margin - legend_line / 4.0;
  for (const LegendEntry& entry : layout.legend) {
    const double x = layout.plot.x + entry.x;
    const double y = last - legend_line * (layout.legend.back().line - entry.line);
    image.fill({whole(x), whole(y) - swatch / 2, swatch, swatch}, entry.color);
    draw_text(image, entry.text, {x + swatch + gap, y}, {.cap_height = axis::label_cap});
  }
}

// Line by line above the plot, the last one nearest to it.
inline void draw_title(Image& image, const Layout& layout) {
  const double middle = layout.plot.x + layout.plot.width / 2.0, pitch = title_cap + gap;
  double y = layout.plot.y - gap - pitch * static_cast<double>(layout.title.size());
  for (const std::string& line : layout.title) {
    draw_text(image, line, {middle, y + title_cap / 2},
              {.cap_height = title_cap, .align = Align::center});
    y += pitch;
  }
}

inline Image draw(const Cells& cells, const HeatmapOptions& options, int title_lines = 0) {
  const Layout layout = arrange(cells, options, title_lines);
  const Rect& plot = layout.plot;
  Image image(layout.width, layout.height);
  draw_cells(image, layout, cells, options);
  image.frame({plot.x - 1, plot.y - 1, plot.width + 2, plot.height + 2}, palette::rule);
  const Point middle{plot.x + plot.width / 2.0, plot.y + plot.height / 2.0};
  if (cells.values.empty()) {
    draw_text(image, "empty", middle, {.color = palette::faint_ink, .align = Align::center});
  }
  draw_title(image, layout);
  draw_row_labels(image, layout, options.row_name);
  draw_column_labels(image, layout, options.column_name);
  if (options.color_bar) {
    const Rect bar{plot.x + plot.width + 2 * gap, plot.y, bar_width, layout.bar_height};
    draw_bar(image, bar, layout.bar, options.colors);
  }
  draw_legend(image, layout);
  return image;
}

}  // namespace heat

// The picture of a matrix [rows, columns] of any number type; NaN and infinities show as such.
//
// More than 1024 rows or columns are shown as block means. Throws heed::Error where there are
// labels but not one a row or column, for a range that is not finite or runs backwards, and for
// more pixels than a PNG holds. O(rows · columns) time.
template <Matrix M>
Image heatmap(const M& matrix, const HeatmapOptions& options = {}) {
  const Cells cells = cells_of(matrix);
  heat::check_labels("row", options.row_labels.size(), cells.matrix_rows);
  heat::check_labels("column", options.column_labels.size(), cells.matrix_columns);
  return heat::draw(cells, options);
}

}  // namespace HEED_ABI
}  // namespace heed::plot
