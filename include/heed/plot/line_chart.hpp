// Line chart: numbers over numbers on linear axes, such as a loss over the steps of a training run.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "heed/plot/scatter.hpp"

namespace heed::plot {

struct LineSeries {
  std::string name;               // in the legend
  std::vector<Point> points;      // joined in this order
  bool marked = false;            // with a mark at each point
  std::vector<Point> faint = {};  // a line of the same colour behind it, such as what it smooths
};

// Scatter's: title, names, ranges, a dashed line, the size of the plot.
using LineChartOptions = ScatterOptions;

inline namespace HEED_ABI {

namespace line_chart_plot {

using scatter_plot::Layout;

inline void check(const std::string& what, double value) {
  if (is_finite(value)) return;
  throw Error("heed::plot::line_chart: " + what + " is " + axis::number_text(value));
}

// From the least to the largest number, with `room` of it free at both ends; 0 stays an end where
// all are above it.
inline Range padded(double low, double high, double room) {
  if (!(low <= high)) return {0, 1};  // of no numbers
  if (low == high) room = low == 0 ? 1 : std::abs(low) / 2;
  const double free = low == high ? room : room * (high - low);
  return {low >= 0 ? std::max(low - free, 0.0) : low - free, high + free};
}

inline Range range_of(const char* name, const std::optional<Range>& given,
                      const std::vector<LineSeries>& all, double Point::*which, double room) {
  constexpr double most = std::numeric_limits<double>::max();
  double low = most, high = -most;
  for (const LineSeries& series : all) {
    for (const auto* points : {&series.points, &series.faint}) {
      for (std::size_t n = 0; n < points->size(); ++n) {
        const double value = (*points)[n].*which;
        check(std::string(name) + " of point " + std::to_string(n) + " of '" + series.name + "'",
              value);
        low = std::min(low, value), high = std::max(high, value);
      }
    }
  }
  const Range range = given ? *given : padded(low, high, room);
  check(std::string(name) + "_range's width", range.high - range.low);
  if (range.low < range.high) return range;
  throw Error("heed::plot::line_chart: " + std::string(name) + "_range is " +
              axis::number_text(range.low) + " ... " + axis::number_text(range.high));
}

inline double along(Range range, double value) {
  return (value - range.low) / (range.high - range.low);
}

// Multiples of 1, 2 or 5 times a power of ten, at least `room` pixels apart.
inline std::vector<Tick> linear_ticks(Range range, double pixels, double room) {
  const double step = axis::nice_step((range.high - range.low) * room / pixels);
  const double first = std::ceil(range.low / step - 1e-9);
  const double most = std::max(std::abs(range.low), std::abs(range.high)) / step;
  const int digits = std::clamp(static_cast<int>(std::ceil(std::log10(most))) + 1, 6, 17);
  const std::string format = "%." + std::to_string(digits) + "g";
  std::vector<Tick> ticks;
  for (int n = 0; n <= whole_up(pixels / room); ++n) {
    const double value = (first + n) * step, t = along(range, value);
    if (t > 1 + 1e-9) break;
    ticks.push_back(
        {pixels * t, formatted(format.c_str(), std::abs(value) < step / 1000 ? 0.0 : value)});
  }
  return ticks;
}

inline Layout arrange(const std::vector<LineSeries>& all, const LineChartOptions& options) {
  Layout layout;
  layout.x = range_of("x", options.x_range, all, &Point::x, 0);
  layout.y = range_of("y", options.y_range, all, &Point::y, 0.05);
  layout.plot.width = std::max(options.width, scatter_plot::least_width);
  layout.plot.height = std::max(options.height, scatter_plot::least_height);
  layout.x_ticks = linear_ticks(layout.x, layout.plot.width, 70);
  layout.y_ticks = linear_ticks(layout.y, layout.plot.height, 30);
  std::vector<std::string> names;
  names.reserve(all.size());
  for (const LineSeries& series : all) names.push_back(series.name);
  scatter_plot::arrange_frame(layout, options, names, "heed::plot::line_chart");
  if (options.guide) {
    check("guide.x", options.guide->x);
    const double t = along(layout.x, options.guide->x);
    if (t >= 0 && t <= 1) layout.guide_x = layout.plot.x + layout.plot.width * t;
  }
  return layout;
}

inline Point place(const Layout& layout, Point point) {
  const Rect& plot = layout.plot;
  return {plot.x + plot.width * along(layout.x, point.x),
          plot.y + plot.height * (1 - along(layout.y, point.y))};
}

// The part of a line that lies inside the plot.
inline void draw_line(Image& image, const Layout& layout, const std::vector<Point>& points,
                      double pen, Color color) {
  const Rect& plot = layout.plot;
  const scatter_plot::Box box{1.0 * plot.x, 1.0 * plot.y, 1.0 * plot.x + plot.width,
                              1.0 * plot.y + plot.height};
  std::vector<draw::Segment> segments;
  for (std::size_t n = 1; n < points.size(); ++n) {
    Point from = place(layout, points[n - 1]), to = place(layout, points[n]);
    if (scatter_plot::clip_line(from, to, box)) segments.push_back({from, to});
  }
  draw::strokes(image, segments, pen, color);
}

inline void draw_series(Image& image, const Layout& layout, const LineSeries& series,
                        std::size_t number) {
  draw_line(image, layout, series.points, 2, scatter_plot::color_of(number));
  for (const Point& point : series.points) {
    const double x = along(layout.x, point.x), y = along(layout.y, point.y);
    const bool inside = x >= 0 && x <= 1 && y >= 0 && y <= 1;
    if ((series.marked || series.points.size() == 1) && inside) {
      scatter_plot::draw_marker(image, place(layout, point), number);
    }
  }
}

}  // namespace line_chart_plot

// The picture of lines over two linear axes, a colour a series. O(points) time.
//
// Throws heed::Error, with the point and its value, for what is not finite; for a range that is
// empty; and for more pixels than a PNG holds.
inline Image line_chart(const std::vector<LineSeries>& all, const LineChartOptions& options = {}) {
  const scatter_plot::Layout layout = line_chart_plot::arrange(all, options);
  Image image(layout.width, layout.height);
  scatter_plot::draw_title(image, layout, options.title);
  scatter_plot::draw_axes(image, layout, options);
  if (layout.guide_x >= 0) scatter_plot::draw_guide(image, layout, options.guide->text);
  std::vector<std::string> names;
  for (std::size_t s = 0; s < all.size(); ++s) {
    const Color color = scatter_plot::faded(scatter_plot::color_of(s));
    line_chart_plot::draw_line(image, layout, all[s].faint, 1, color);
    names.push_back(all[s].name);
  }
  for (std::size_t s = 0; s < all.size(); ++s) {
    line_chart_plot::draw_series(image, layout, all[s], s);
  }
  scatter_plot::draw_names(image, layout, names);
  return image;
}

}  // namespace HEED_ABI
}  // namespace heed::plot
