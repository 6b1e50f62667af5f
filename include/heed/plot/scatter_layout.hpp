// Where everything in a scatter plot goes: ticks of logarithmic axes, points, and labels beside
// them that keep out of each other's way. Decided first, drawn after (scatter.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/core/types.hpp"
#include "heed/plot/axis.hpp"
#include "heed/plot/box.hpp"
#include "heed/plot/canvas.hpp"
#include "heed/plot/cells.hpp"
#include "heed/plot/image.hpp"
#include "heed/plot/log_axis.hpp"
#include "heed/plot/whole.hpp"

namespace heed::plot {

struct ScatterPoint {
  double x = 1, y = 1;  // both axes are logarithmic: above 0
  std::string label = {};
};

// Points of one kind, in one colour and joined by a line, with a name in the legend.
struct ScatterSeries {
  std::string name;
  std::vector<ScatterPoint> points;
};

// A dashed line across the plot.
struct Guide {
  double x = 1;
  std::string text = {};  // at its top
};

struct ScatterOptions {
  std::string title = {}, x_name = {}, y_name = {};
  std::optional<Range> x_range = {}, y_range = {};  // default: from the points, with room around
  std::optional<Guide> guide = {};
  int width = 560, height = 380;  // of the plot, in pixels
};

inline namespace HEED_ABI {

namespace scatter_plot {

inline constexpr int margin = 14, gap = 7;
inline constexpr double title_cap = 12, name_cap = 11.5, marker = 8, legend_line = 22;

inline void check(const std::string& what, double value) {
  if (is_finite(value) && value > 0) return;
  throw Error("heed::plot::scatter: " + what + " is " + axis::number_text(value) +
              ", and a logarithmic axis has only finite numbers above 0");
}

// The given range, or that of the values with a twelfth of it free at both ends, at least a factor.
inline Range range_of(const char* name, const std::optional<Range>& given,
                      const std::vector<double>& values) {
  if (given) {
    check(std::string(name) + "_range.low", given->low);
    check(std::string(name) + "_range.high", given->high);
    if (log_ratio(given->high, given->low) > 0) return *given;
    throw Error("heed::plot::scatter: " + std::string(name) + "_range is " +
                axis::number_text(given->low) + " ... " + axis::number_text(given->high));
  }
  if (values.empty()) return {0.1, 10};
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double room = std::max(std::exp(log_ratio(*high, *low) / 12), 1.15);
  using Limits = std::numeric_limits<double>;
  const double least = std::max(*low / room, Limits::denorm_min());
  return {least, std::clamp(*high * room, std::min(4 * least, Limits::max()), Limits::max())};
}

// Of the places around a point, near ones first, the one where a label covers least.
inline Box place_label(Point point, double width, const Box& plot, const std::vector<Box>& taken) {
  const double height = axis::label_cap + 2;
  Box best{};
  double least = -1;
  for (const double reach : {0.0, 7.0, 15.0, 24.0}) {
    for (const double eighth : {0.0, 2.0, 6.0, 4.0, 1.0, 7.0, 3.0, 5.0}) {
      const double angle = eighth * std::numbers::pi / 4;
      const double dx = (marker / 2 + 4 + reach + width / 2) * std::cos(angle);
      const double dy = (marker / 2 + 4 + reach + height / 2) * std::sin(angle);
      const Box box = around({point.x + dx, point.y - dy}, width, height);
      double covered = 100 * (area(box) - overlap(box, plot));  // leaving the plot is worst
      for (const Box& other : taken) covered += overlap(box, other);
      if (least >= 0 && covered >= least - 1e-6) continue;
      best = box, least = covered;
    }
  }
  return best;
}

struct PlacedPoint {
  std::size_t series = 0;
  Point at;
  Box label;  // empty without a text
  std::string text;
};

struct Layout {
  Rect plot;
  Range x, y;
  std::vector<Tick> x_ticks, y_ticks;  // positions from the left and from the bottom
  std::vector<PlacedPoint> points;     // series by series
  double y_depth = 0;                  // of the widest number at the y axis
  double guide_x = -1;                 // below 0: none
  int width = 0, height = 0;
};

inline std::vector<double> coordinates(const std::vector<ScatterSeries>& all,
                                       double ScatterPoint::*which, const char* name) {
  std::vector<double> values;
  for (const ScatterSeries& series : all) {
    for (std::size_t n = 0; n < series.points.size(); ++n) {
      values.push_back(series.points[n].*which);
      check(std::string(name) + " of point " + std::to_string(n) + " of '" + series.name + "'",
            values.back());
    }
  }
  return values;
}

// A line as small boxes along it, for labels to keep off; `plot` is where labels can be.
inline void take_line(std::vector<Box>& taken, Point from, Point to, const Box& plot) {
  constexpr double step = 4;
  if (!clip_line(from, to, plot)) return;
  const int boxes = whole(std::hypot(to.x - from.x, to.y - from.y) / step);
  for (int n = 1; n < boxes; ++n) {
    const double t = static_cast<double>(n) / boxes;
    taken.push_back(
        around({from.x + t * (to.x - from.x), from.y + t * (to.y - from.y)}, step, step));
  }
}

inline void place_points(Layout& layout, const std::vector<ScatterSeries>& all) {
  const Rect& plot = layout.plot;
  const Box inside{plot.x + 2.0, plot.y + 2.0, plot.x + plot.width - 2.0,
                   plot.y + plot.height - 2.0};
  std::vector<Box> taken;
  for (std::size_t s = 0; s < all.size(); ++s) {
    for (const ScatterPoint& point : all[s].points) {
      const Point at{plot.x + plot.width * along(layout.x, point.x),
                     plot.y + plot.height * (1 - along(layout.y, point.y))};
      taken.push_back(around(at, marker + 2, marker + 2));
      layout.points.push_back({s, at, {}, point.label});
    }
  }
  for (std::size_t n = 1; n < layout.points.size(); ++n) {
    const PlacedPoint &from = layout.points[n - 1], &to = layout.points[n];
    if (from.series == to.series) take_line(taken, from.at, to.at, inside);
  }
  if (layout.guide_x >= 0) {
    taken.push_back({layout.guide_x - 1, inside.top, layout.guide_x + 1, inside.bottom});
  }
  for (PlacedPoint& point : layout.points) {
    if (point.text.empty()) continue;
    point.label = place_label(point.at, text_width(point.text, axis::label_cap), inside, taken);
    taken.push_back(point.label);
  }
}

// The places of plot, title, names and legend, once the ticks are known.
inline void arrange_frame(Layout& layout, const ScatterOptions& options,
                          const std::vector<std::string>& legend, const char* call) {
  Rect& plot = layout.plot;
  layout.y_depth = axis::widest(layout.y_ticks);
  const double name = name_cap + 2 * gap;  // an axis' name with space around it
  const double left = margin + (options.y_name.empty() ? 0 : name) + layout.y_depth + 2 * gap;
  plot.x = whole_up(left);
  plot.y = margin + (options.title.empty() ? 0 : whole(title_cap) + 2 * gap) +
           (options.guide ? whole(axis::label_cap) + gap : 0);
  double beside = gap;
  for (const std::string& text : legend) {
    beside = std::max(beside, 3 * gap + marker + text_width(text, axis::label_cap));
  }
  const double title = text_width(options.title, title_cap);
  const double right = plot.width + 1.0 * plot.x + beside + margin;
  const double width = std::max(right, title + 2 * margin);
  const double below = 2 * gap + axis::label_cap + (options.x_name.empty() ? 0 : name);
  const double legend_height = legend_line * static_cast<double>(legend.size());
  const double height = plot.y + std::ceil(std::max(plot.height + below, legend_height)) + margin;
  check_picture(call, width, height);
  layout.width = whole_up(width), layout.height = whole(height);
}

inline std::vector<std::string> names_of(const std::vector<ScatterSeries>& all) {
  std::vector<std::string> names;
  names.reserve(all.size());
  for (const ScatterSeries& series : all) names.push_back(series.name);
  return names;
}

// Of the plot, at least.
inline constexpr int least_width = 120, least_height = 80;

inline Layout arrange(const std::vector<ScatterSeries>& all, const ScatterOptions& options) {
  Layout layout;
  layout.x = range_of("x", options.x_range, coordinates(all, &ScatterPoint::x, "x"));
  layout.y = range_of("y", options.y_range, coordinates(all, &ScatterPoint::y, "y"));
  Rect& plot = layout.plot;
  plot.width = std::max(options.width, least_width);
  plot.height = std::max(options.height, least_height);
  layout.x_ticks = log_ticks(layout.x, plot.width, 50);
  layout.y_ticks = log_ticks(layout.y, plot.height, 22);
  arrange_frame(layout, options, names_of(all), "heed::plot::scatter");
  if (options.guide) {
    check("guide.x", options.guide->x);
    const double t = along(layout.x, options.guide->x);
    if (t >= 0 && t <= 1) layout.guide_x = plot.x + plot.width * t;
  }
  place_points(layout, all);
  return layout;
}

}  // namespace scatter_plot
}  // namespace HEED_ABI
}  // namespace heed::plot
