// A rectangle of a picture that may end between pixels, and the part of a line inside it.
#pragma once

#include <algorithm>
#include <cmath>

#include "heed/core/abi.hpp"
#include "heed/plot/canvas.hpp"

namespace heed::plot {
inline namespace HEED_ABI {

namespace scatter_plot {

struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;
};

inline double overlap(const Box& a, const Box& b) {
  const double across = std::min(a.right, b.right) - std::max(a.left, b.left);
  const double down = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  return std::max(across, 0.0) * std::max(down, 0.0);
}

inline double area(const Box& box) { return (box.right - box.left) * (box.bottom - box.top); }

inline Box around(Point centre, double width, double height) {
  return {centre.x - width / 2, centre.y - height / 2, centre.x + width / 2, centre.y + height / 2};
}

// Cuts off what of a line lies outside the box; false where nothing is left. Liang and Barsky, "A
// new concept and method for line clipping" (1984).
inline bool clip_line(Point& from, Point& to, const Box& box) {
  const double dx = to.x - from.x, dy = to.y - from.y;
  double begin = 0, end = 1;
  const auto cut = [&](double speed, double room) {
    if (speed < 0) begin = std::max(begin, room / speed);
    if (speed > 0) end = std::min(end, room / speed);
    return speed != 0 || room >= 0;
  };
  const bool beside = cut(-dx, from.x - box.left) && cut(dx, box.right - from.x) &&
                      cut(-dy, from.y - box.top) && cut(dy, box.bottom - from.y);
  if (!beside || begin > end) return false;
  const Point start = from;
  from = {start.x + begin * dx, start.y + begin * dy};
  to = {start.x + end * dx, start.y + end * dy};
  return true;
}

}  // namespace scatter_plot
}  // namespace HEED_ABI
}  // namespace heed::plot
