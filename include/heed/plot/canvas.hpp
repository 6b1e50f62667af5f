// Canvas: lines and text on an Image, antialiased, at any angle.
//
// Text is drawn with a round pen along the glyphs' strokes. A pixel's coverage is how far it lies
// inside the nearest stroke, so turned labels are as clean as straight ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <string>
#include <string_view>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/plot/glyphs.hpp"
#include "heed/plot/image.hpp"
#include "heed/plot/utf8.hpp"
#include "heed/plot/whole.hpp"

namespace heed::plot {

enum class Align { left, center, right };

// Style of text. Its height is that of a capital letter, in pixels.
struct TextStyle {
  double cap_height = 10;
  Color color = palette::ink;
  double degrees = 0;         // counter-clockwise about the anchor point
  Align align = Align::left;  // which end of the text is anchored; vertically always its middle
  double weight = 0.17;       // pen width as a fraction of cap_height
};

struct Point {
  double x = 0, y = 0;
};

inline namespace HEED_ABI {

namespace draw {

inline double distance_to(const Point& p, const Point& a, const Point& b) {
  const double dx = b.x - a.x, dy = b.y - a.y;
  const double length_squared = dx * dx + dy * dy;
  const double along = (p.x - a.x) * dx + (p.y - a.y) * dy;
  const double t = length_squared > 0 ? std::clamp(along / length_squared, 0.0, 1.0) : 0.0;
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

// Coverage of a small part of the picture. Strokes of one glyph overlap at their joints; taking
// the larger coverage there, instead of blending twice, keeps the pen's edge even.
class Coverage {
 public:
  explicit Coverage(Rect rect)
      : rect_(rect),
        values_(static_cast<std::size_t>(std::max(rect.width, 0)) *
                static_cast<std::size_t>(std::max(rect.height, 0))) {}

  void stroke(Point a, Point b, double pen) {
    const double reach = pen / 2 + 1;
    const int x_begin = std::max(rect_.x, whole_down(std::min(a.x, b.x) - reach));
    const int y_begin = std::max(rect_.y, whole_down(std::min(a.y, b.y) - reach));
    const int x_end = std::min(rect_.x + rect_.width, whole_up(std::max(a.x, b.x) + reach));
    const int y_end = std::min(rect_.y + rect_.height, whole_up(std::max(a.y, b.y) + reach));
    for (int y = y_begin; y < y_end; ++y) {
      for (int x = x_begin; x < x_end; ++x) {
        const double inside = pen / 2 + 0.5 - distance_to({x + 0.5, y + 0.5}, a, b);
        float& value = at(x, y);
        value = std::max(value, static_cast<float>(std::clamp(inside, 0.0, 1.0)));
      }
    }
  }

  void blend_into(Image& image, Color color) {
    for (int y = rect_.y; y < rect_.y + rect_.height; ++y) {
      for (int x = rect_.x; x < rect_.x + rect_.width; ++x) {
        if (at(x, y) > 0) image.blend(x, y, color, at(x, y));
      }
    }
  }

 private:
  float& at(int x, int y) {
    return values_[static_cast<std::size_t>(y - rect_.y) * static_cast<std::size_t>(rect_.width) +
                   static_cast<std::size_t>(x - rect_.x)];
  }

  Rect rect_;
  std::vector<float> values_;
};

struct Segment {
  Point from, to;
  double pen = 1;  // relative width
};

inline Rect bounds_of(const std::vector<Segment>& segments, double margin, const Image& image) {
  double left = image.width(), top = image.height(), right = 0, bottom = 0;
  for (const Segment& s : segments) {
    left = std::min({left, s.from.x, s.to.x}), right = std::max({right, s.from.x, s.to.x});
    top = std::min({top, s.from.y, s.to.y}), bottom = std::max({bottom, s.from.y, s.to.y});
  }
  const int x = std::max(0, whole_down(left - margin));
  const int y = std::max(0, whole_down(top - margin));
  const int x_end = std::min(image.width(), whole_up(right + margin));
  const int y_end = std::min(image.height(), whole_up(bottom + margin));
  return {x, y, std::max(0, x_end - x), std::max(0, y_end - y)};
}

inline void strokes(Image& image, const std::vector<Segment>& segments, double pen, Color color) {
  Coverage coverage(bounds_of(segments, pen / 2 + 1, image));
  for (const Segment& s : segments) coverage.stroke(s.from, s.to, pen * s.pen);
  coverage.blend_into(image, color);
}

// Bytes of a text that are looked at: 5 MB took 10 s and gigabytes to be cut short.
inline constexpr std::size_t longest_text = 4096;

inline constexpr double gap_after_glyph = 2,
                        tightening = 0.4;  // dots are square, a pen is narrower

inline double advance(char32_t code_point) {
  return static_cast<double>(glyph(code_point).advance) - tightening;
}

// Pixels to the last stroke of glyphs that advance by `pen_x` font units.
inline double width_of(double pen_x, double unit) {
  return unit * std::max(0.0, pen_x - (gap_after_glyph - tightening));
}

// The text's strokes in pixels, before turning: its left end at x = 0, a capital's middle at y = 0.
inline std::vector<Segment> lay_out(std::string_view text, double unit, double& width) {
  text = beginning(text, longest_text);
  std::vector<Segment> segments;
  double pen_x = 0;
  const double middle = font::cap_height / 2.0;
  for (std::size_t position = 0; position < text.size();) {
    const Glyph shape = glyph(next_code_point(text, position));
    for (const Stroke& s : shape.strokes) {
      segments.push_back({{unit * (pen_x + s.x0), unit * (s.y0 - middle)},
                          {unit * (pen_x + s.x1), unit * (s.y1 - middle)},
                          static_cast<double>(s.pen)});
    }
    pen_x += static_cast<double>(shape.advance) - tightening;
  }
  width = width_of(pen_x, unit);
  return segments;
}

}  // namespace draw

// Pixels from the first to the last pen stroke, of the first 4096 bytes.
inline double text_width(std::string_view text, double cap_height) {
  double width = 0;
  draw::lay_out(text, cap_height / font::cap_height, width);
  return width;
}

// Draws one line of UTF-8, of the first 4096 bytes, with its anchor at (x, y); clipped at the
// picture's edge.
inline void draw_text(Image& image, std::string_view text, Point anchor, const TextStyle& style) {
  double width = 0;
  auto segments = draw::lay_out(text, style.cap_height / font::cap_height, width);
  const double shift = style.align == Align::left     ? 0
                       : style.align == Align::center ? -width / 2
                                                      : -width;
  const double angle = style.degrees * std::numbers::pi / 180;
  const double cosine = std::cos(angle), sine = std::sin(angle);
  const auto place = [&](Point p) {
    const double along = p.x + shift;
    return Point{anchor.x + along * cosine + p.y * sine, anchor.y - along * sine + p.y * cosine};
  };
  for (draw::Segment& s : segments) s = {place(s.from), place(s.to), s.pen};
  draw::strokes(image, segments, style.weight * style.cap_height, style.color);
}

// The text, or its beginning and "..." where it is wider than `limit` pixels.
inline std::string fit_text(std::string_view text, double cap_height, double limit) {
  const bool whole_text = text.size() <= draw::longest_text;
  if (whole_text && text_width(text, cap_height) <= limit) return std::string(text);
  text = beginning(text, draw::longest_text);
  double pen_x = 3 * draw::advance('.');
  std::size_t kept = 0;
  for (std::size_t position = 0; position < text.size();) {
    pen_x += draw::advance(next_code_point(text, position));
    if (draw::width_of(pen_x, cap_height / font::cap_height) > limit) break;
    kept = position;
  }
  return std::string(text.substr(0, kept)) + "...";
}

// The text in lines of at most `limit` pixels, broken at spaces, but not within "62.5 %"; a longer
// word is cut short, and the text after 4096 bytes.
inline std::vector<std::string> wrap_text(std::string_view text, double cap_height, double limit) {
  std::string shortened;
  if (text.size() > draw::longest_text) {
    shortened = std::string(beginning(text, draw::longest_text)) + " ...";
    text = shortened;
  }
  std::vector<std::string> lines;
  while (!text.empty()) {
    std::size_t end = std::min(text.find(' '), text.size());
    if (text.substr(end).starts_with(" %")) end = std::min(text.find(' ', end + 1), text.size());
    const std::string word = fit_text(text.substr(0, end), cap_height, limit);
    const std::string longer = lines.empty() ? word : lines.back() + ' ' + word;
    if (!lines.empty() && text_width(longer, cap_height) <= limit) {
      lines.back() = longer;
    } else {
      lines.push_back(word);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace HEED_ABI
}  // namespace heed::plot
