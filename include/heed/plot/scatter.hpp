// Scatter: labelled points over two logarithmic axes, such as the error of methods by their speed.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/plot/axis.hpp"
#include "heed/plot/canvas.hpp"
#include "heed/plot/image.hpp"
#include "heed/plot/scatter_layout.hpp"

namespace heed::plot {
inline namespace HEED_ABI {

namespace scatter_plot {

// Told apart by colour-blind readers too: Okabe and Ito, "Color universal design" (2008), without
// its yellow, which white paper swallows.
inline constexpr std::array<Color, 7> series_colors{{{0, 114, 178},
                                                     {213, 94, 0},
                                                     {0, 158, 115},
                                                     {204, 121, 167},
                                                     {230, 159, 0},
                                                     {86, 180, 233},
                                                     {33, 37, 41}}};

inline Color color_of(std::size_t series) { return series_colors[series % series_colors.size()]; }

// A disc for the first series of a colour, a square for the next: all look different up to 14.
inline void draw_marker(Image& image, Point at, std::size_t series) {
  if (series / series_colors.size() % 2 == 0) {
    draw::strokes(image, {{at, at}}, marker, color_of(series));
    return;
  }
  constexpr int side = whole(marker) - 1;
  image.fill({whole(at.x) - side / 2, whole(at.y) - side / 2, side, side}, color_of(series));
}

inline Color faded(Color color) {
  const auto lighter = [](std::uint8_t channel) {
    return static_cast<std::uint8_t>(channel + (255 - channel) * 3 / 5);
  };
  return {lighter(color.red), lighter(color.green), lighter(color.blue)};
}

// Over the middle of the plot, but not over the picture's left edge.
inline void draw_title(Image& image, const Layout& layout, const std::string& title) {
  const double middle =
      std::max(layout.plot.x + layout.plot.width / 2.0, margin + text_width(title, title_cap) / 2);
  draw_text(image, title, {middle, margin + title_cap / 2},
            {.cap_height = title_cap, .align = Align::center});
}

inline void draw_axes(Image& image, const Layout& layout, const ScatterOptions& options) {
  constexpr Color grid{236, 239, 241};
  const Rect& p = layout.plot;
  const int bottom = p.y + p.height;
  for (const Tick& tick : layout.x_ticks) {
    const double x = p.x + tick.position;
    image.fill({whole(x), p.y, 1, p.height}, grid);
    image.fill({whole(x), bottom + 1, 1, 3}, palette::rule);
    draw_text(image, tick.text, {x, bottom + 5 + axis::label_cap / 2 + 2},
              {.cap_height = axis::label_cap, .align = Align::center});
  }
  for (const Tick& tick : layout.y_ticks) {
    const double y = bottom - tick.position;
    image.fill({p.x, whole(y), p.width, 1}, grid);
    image.fill({p.x - 4, whole(y), 3, 1}, palette::rule);
    draw_text(image, tick.text, {p.x - 1.0 - gap, y},
              {.cap_height = axis::label_cap, .align = Align::right});
  }
  image.frame({p.x - 1, p.y - 1, p.width + 2, p.height + 2}, palette::rule);
  const Point x_name{p.x + p.width / 2.0, bottom + axis::label_cap + 4 * gap};
  draw_text(image, options.x_name, x_name,
            {.cap_height = name_cap, .color = palette::faint_ink, .align = Align::center});
  const Point y_name{margin + name_cap / 2, p.y + p.height / 2.0};
  draw_text(
      image, options.y_name, y_name,
      {.cap_height = name_cap, .color = palette::faint_ink, .degrees = 90, .align = Align::center});
}

inline void draw_guide(Image& image, const Layout& layout, const std::string& text) {
  constexpr int dash = 5;
  const Rect& p = layout.plot;
  for (int y = p.y; y < p.y + p.height; y += 2 * dash) {
    image.fill({whole(layout.guide_x), y, 1, dash}, palette::faint_ink);
  }
  draw_text(image, text, {layout.guide_x, p.y - gap / 2.0 - axis::label_cap / 2},
            {.cap_height = axis::label_cap, .color = palette::faint_ink, .align = Align::center});
}

// Lines first, so that no line crosses a marker, and labels last.
inline void draw_points(Image& image, const Layout& layout) {
  const auto& points = layout.points;
  for (std::size_t n = 1; n < points.size(); ++n) {
    if (points[n].series != points[n - 1].series) continue;
    draw::strokes(image, {{points[n - 1].at, points[n].at}}, 2, faded(color_of(points[n].series)));
  }
  for (const PlacedPoint& point : points) draw_marker(image, point.at, point.series);
  for (const PlacedPoint& point : points) {
    draw_text(image, point.text, {point.label.left, (point.label.top + point.label.bottom) / 2},
              {.cap_height = axis::label_cap, .color = color_of(point.series)});
  }
}

inline void draw_names(Image& image, const Layout& layout, const std::vector<std::string>& names) {
  const double x = layout.plot.x + layout.plot.width + 2.0 * gap;
  double y = layout.plot.y + legend_line / 2;
  for (std::size_t s = 0; s < names.size(); ++s, y += legend_line) {
    draw_marker(image, {x + marker / 2, y}, s);
    draw_text(image, names[s], {x + marker + gap, y}, {.cap_height = axis::label_cap});
  }
}

}  // namespace scatter_plot

// The picture of points over two logarithmic axes, a colour and a line a series. Labels move around
// their points until they cover neither markers nor each other, where there is room for that.
//
// Throws heed::Error, with the point and its value, for what is not finite and above 0; for a range
// that is empty; and for more pixels than a PNG holds.
// O(points²) time.
inline Image scatter(const std::vector<ScatterSeries>& all, const ScatterOptions& options = {}) {
  const scatter_plot::Layout layout = scatter_plot::arrange(all, options);
  Image image(layout.width, layout.height);
  scatter_plot::draw_title(image, layout, options.title);
  scatter_plot::draw_axes(image, layout, options);
  if (layout.guide_x >= 0) scatter_plot::draw_guide(image, layout, options.guide->text);
  scatter_plot::draw_points(image, layout);
  scatter_plot::draw_names(image, layout, scatter_plot::names_of(all));
  return image;
}

}  // namespace HEED_ABI
}  // namespace heed::plot
