// Scatter plots and line charts: points where their logarithms say, labels beside them and apart,
// round ticks.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "heed/plot/line_chart.hpp"
#include "heed/plot/scatter.hpp"
#include "heed/train/loss_curve.hpp"
#include "support/catch.hpp"

namespace {

using heed::plot::Color;
using heed::plot::Image;
using heed::plot::Range;
using heed::plot::Rect;
using heed::plot::scatter;
using heed::plot::ScatterOptions;
using heed::plot::ScatterSeries;
using heed::plot::Tick;
namespace palette = heed::plot::palette;
namespace scatter_plot = heed::plot::scatter_plot;

bool has_color(const Image& image, Rect rect, Color color) {
  for (int y = rect.y; y < rect.y + rect.height; ++y) {
    for (int x = rect.x; x < rect.x + rect.width; ++x) {
      if (image.contains(x, y) && image.at(x, y) == color) return true;
    }
  }
  return false;
}

bool border_is_clear(const Image& image) {
  const int w = image.width(), h = image.height();
  for (int x = 0; x < w; ++x) {
    if (image.at(x, 0) != palette::white || image.at(x, h - 1) != palette::white) return false;
  }
  for (int y = 0; y < h; ++y) {
    if (image.at(0, y) != palette::white || image.at(w - 1, y) != palette::white) return false;
  }
  return true;
}

std::vector<std::string> texts(const std::vector<Tick>& ticks) {
  std::vector<std::string> all;
  for (const Tick& tick : ticks) all.push_back(tick.text);
  return all;
}

// Fixed points of three methods, crowded in one corner.
const std::vector<ScatterSeries> methods{
    {"first", {{1.0, 0.1, "128"}, {2.0, 0.01, "64"}, {10.0, 0.001, "32"}}},
    {"second", {{1.02, 0.099, "8 rounds"}, {1.05, 0.101, "4 rounds"}, {1.03, 0.104, "2 rounds"}}},
    {"third", {{0.1, 1.0, ""}}}};

TEST_CASE("a point lies where the logarithms of its numbers say") {
  const ScatterOptions options{.title = "error by speed",
                               .x_name = "speed",
                               .y_name = "error",
                               .x_range = Range{0.1, 10},
                               .y_range = Range{0.001, 1}};
  const auto layout = scatter_plot::arrange(methods, options);
  const Image image = scatter(methods, options);
  REQUIRE(image.width() == layout.width);
  REQUIRE(image.height() == layout.height);
  REQUIRE(layout.points.size() == 7);
  const auto& p = layout.plot;
  CHECK(layout.points[0].at.x == Approx(p.x + p.width / 2.0));
  CHECK(layout.points[0].at.y == Approx(p.y + p.height / 3.0));
  CHECK(layout.points[2].at.x == Approx(p.x + p.width));
  CHECK(layout.points[2].at.y == Approx(p.y + p.height));
  CHECK(layout.points[6].at.x == Approx(p.x));
  CHECK(layout.points[6].at.y == Approx(p.y));
  const std::size_t series[] = {0, 0, 0, 1, 1, 1, 2};
  for (std::size_t n = 0; n < 7; ++n) {
    CAPTURE(n);
    CHECK(layout.points[n].series == series[n]);
    if (n != 1 && n != 2 && n != 6) continue;  // the others lie over each other
    const auto at = layout.points[n].at;
    CHECK(image.at(static_cast<int>(at.x), static_cast<int>(at.y)) ==
          scatter_plot::color_of(series[n]));
  }
  CHECK(border_is_clear(image));
}

TEST_CASE("points of a series are joined, those of different series are not") {
  const std::vector<ScatterSeries> two{{"a", {{1, 1, ""}, {100, 1, ""}}}, {"b", {{100, 100, ""}}}};
  const auto layout = scatter_plot::arrange(two, {});
  const Image image = scatter(two);
  const auto middle = [&](std::size_t i, std::size_t j) {
    const auto a = layout.points[i].at, b = layout.points[j].at;
    const Rect around{static_cast<int>((a.x + b.x) / 2) - 2, static_cast<int>((a.y + b.y) / 2) - 2,
                      5, 5};
    return has_color(image, around,
                     scatter_plot::faded(scatter_plot::color_of(layout.points[j].series)));
  };
  CHECK(middle(0, 1));
  CHECK_FALSE(middle(1, 2));
}

TEST_CASE("labels cover neither each other nor a marker, and stay inside the plot") {
  for (const int width : {300, 560}) {
    CAPTURE(width);
    const auto layout =
        scatter_plot::arrange(methods, {.guide = heed::plot::Guide{1, "exact"}, .width = width});
    const scatter_plot::Box inside{static_cast<double>(layout.plot.x),
                                   static_cast<double>(layout.plot.y),
                                   static_cast<double>(layout.plot.x + layout.plot.width),
                                   static_cast<double>(layout.plot.y + layout.plot.height)};
    for (std::size_t i = 0; i < layout.points.size(); ++i) {
      const auto& point = layout.points[i];
      CAPTURE(i, point.text);
      CHECK((scatter_plot::area(point.label) > 0) == !point.text.empty());
      CHECK(scatter_plot::overlap(point.label, inside) == Approx(scatter_plot::area(point.label)));
      for (std::size_t j = 0; j < layout.points.size(); ++j) {
        const auto& other = layout.points[j];
        CHECK(scatter_plot::overlap(
                  point.label,
                  scatter_plot::around(other.at, scatter_plot::marker, scatter_plot::marker)) == 0);
        if (i != j) CHECK(scatter_plot::overlap(point.label, other.label) == 0);
      }
      const double reach = std::hypot((point.label.left + point.label.right) / 2 - point.at.x,
                                      (point.label.top + point.label.bottom) / 2 - point.at.y);
      if (!point.text.empty()) CHECK(reach < 80);
    }
  }
}

TEST_CASE("labels keep off the lines between points where there is room beside them") {
  const std::vector<ScatterSeries> level{{"a", {{1, 1, "left"}, {10, 1, "right"}, {10, 5, "top"}}}};
  const auto layout = scatter_plot::arrange(level, {});
  const auto& points = layout.points;
  const scatter_plot::Box across{points[0].at.x, points[0].at.y - 1, points[1].at.x,
                                 points[0].at.y + 1};
  const scatter_plot::Box up{points[1].at.x - 1, points[2].at.y, points[1].at.x + 1,
                             points[1].at.y};
  for (const auto& point : points) {
    CHECK(scatter_plot::overlap(point.label, across) == 0);
    CHECK(scatter_plot::overlap(point.label, up) == 0);
  }
}

TEST_CASE("a label has its series' colour, at its place, and a lone one stands to the right") {
  const std::vector<ScatterSeries> one{{"a", {{1, 1, "###"}}}};
  const auto layout = scatter_plot::arrange(one, {});
  const auto& point = layout.points[0];
  CHECK(point.label.left == Approx(point.at.x + scatter_plot::marker / 2 + 4));
  CHECK((point.label.top + point.label.bottom) / 2 == Approx(point.at.y));
  const Rect box{static_cast<int>(point.label.left), static_cast<int>(point.label.top),
                 static_cast<int>(point.label.right - point.label.left), 11};
  CHECK(has_color(scatter(one), box, scatter_plot::color_of(0)));
}

TEST_CASE("ticks are 1, 2, 5 times powers of ten, then the powers, then some of them") {
  const auto ticks = scatter_plot::log_ticks({0.1, 10}, 600, 40);
  CHECK(texts(ticks) == std::vector<std::string>{"0.1", "0.2", "0.5", "1", "2", "5", "10"});
  CHECK(ticks.front().position == Approx(0).margin(1e-6));
  CHECK(ticks[3].position == Approx(300));
  CHECK(ticks[4].position == Approx(300 + 300 * std::log10(2.0)));
  CHECK(texts(scatter_plot::log_ticks({0.05, 20}, 200, 40)) ==
        std::vector<std::string>{"0.1", "1", "10"});
  CHECK(texts(scatter_plot::log_ticks({1e-6, 1}, 100, 30)) ==
        std::vector<std::string>{"1e-06", "0.0001", "0.01", "1"});
  CHECK(texts(scatter_plot::log_ticks({3, 4}, 500, 40)).empty());
}

TEST_CASE("the guide stands at its number, and is left out where that is not in the plot") {
  const auto at = [](double x) {
    return scatter_plot::arrange(
        methods, {.x_range = Range{0.1, 10}, .guide = heed::plot::Guide{x, "exact"}});
  };
  const auto layout = at(1);
  CHECK(layout.guide_x == Approx(layout.plot.x + layout.plot.width / 2.0));
  CHECK(at(20).guide_x < 0);
  const Image image =
      scatter(methods, {.x_range = Range{0.1, 10}, .guide = heed::plot::Guide{1, "exact"}});
  CHECK(has_color(image, {static_cast<int>(layout.guide_x), layout.plot.y, 1, layout.plot.height},
                  palette::faint_ink));
  CHECK(has_color(image, {static_cast<int>(layout.guide_x) - 20, layout.plot.y - 14, 40, 12},
                  palette::faint_ink));
  CHECK(border_is_clear(image));
}

TEST_CASE("the legend names every series with its own mark") {
  std::vector<ScatterSeries> many;
  for (int s = 0; s < 14; ++s) {
    many.push_back({"series " + std::to_string(s), {{1.0 + s, 1.0 + s, ""}}});
  }
  const auto layout = scatter_plot::arrange(many, {.height = 100});
  const Image image = scatter(many, {.height = 100});
  const int x = layout.plot.x + layout.plot.width + 2 * scatter_plot::gap;
  for (int s = 0; s < 14; ++s) {
    CAPTURE(s);
    const int y = layout.plot.y + static_cast<int>(scatter_plot::legend_line) * s + 11;
    const Color color = scatter_plot::color_of(static_cast<std::size_t>(s));
    CHECK(image.at(x + 4, y) == color);
    CHECK((image.at(x + 1, y - 3) == color) == (s >= 7));  // the corner of a square, not of a disc
    CHECK(has_color(image, {x + 15, y - 5, 60, 10}, palette::ink));
  }
  CHECK(border_is_clear(image));
}

TEST_CASE("one point, equal points and none still make a plot with axes") {
  for (const std::vector<ScatterSeries>& some : {std::vector<ScatterSeries>{},
                                                 {{"none", {}}},
                                                 {{"one", {{5, 5, "5"}}}},
                                                 {{"equal", {{2, 3, "a"}, {2, 3, "b"}}}}}) {
    const auto layout = scatter_plot::arrange(some, {});
    CHECK(layout.x.low < layout.x.high);
    CHECK(layout.y.low < layout.y.high);
    CHECK(border_is_clear(scatter(some, {.title = std::string(200, 'T')})));
  }
  const auto tiny = scatter_plot::arrange(methods, {.width = -5, .height = 0});
  CHECK(tiny.plot.width == 120);
  CHECK(tiny.plot.height == 80);
}

TEST_CASE(
    "numbers that a logarithmic axis does not have are errors with the point and the number") {
  const auto with = [](double x, double y) {
    return std::vector<ScatterSeries>{{"lsh", {{1, 1, ""}, {x, y, ""}}}};
  };
  const std::string why = ", and a logarithmic axis has only finite numbers above 0";
  CHECK_THROWS_WITH(scatter(with(0, 1)), "heed::plot::scatter: x of point 1 of 'lsh' is 0" + why);
  CHECK_THROWS_WITH(scatter(with(1, -2)), "heed::plot::scatter: y of point 1 of 'lsh' is -2" + why);
  CHECK_THROWS_AS(scatter(with(std::nan(""), 1)), heed::Error);
  CHECK_THROWS_AS(scatter(with(1, std::numeric_limits<double>::infinity())), heed::Error);
  CHECK_THROWS_WITH(scatter(methods, {.x_range = Range{2, 1}}),
                    "heed::plot::scatter: x_range is 2 ... 1");
  CHECK_THROWS_WITH(scatter(methods, {.y_range = Range{0, 1}}),
                    "heed::plot::scatter: y_range.low is 0" + why);
  CHECK_THROWS_WITH(scatter(methods, {.guide = heed::plot::Guide{-1, ""}}),
                    "heed::plot::scatter: guide.x is -1" + why);
}

TEST_CASE("the smallest, the largest and nearly equal numbers have axes that end") {
  constexpr double tiny = 5e-324, most = std::numeric_limits<double>::max();
  for (const auto& [low, high] :
       {std::pair{tiny, 1e-300}, {tiny, tiny}, {tiny, most}, {most, most}}) {
    const std::vector<ScatterSeries> some{{"a", {{low, low, "low"}, {high, high, "high"}}}};
    const auto layout = scatter_plot::arrange(some, {});
    CAPTURE(low, high);
    CHECK(layout.x.low < layout.x.high);
    CHECK(layout.x_ticks.size() < 30);
    CHECK(border_is_clear(scatter(some)));
  }
  const double next = std::nextafter(1e300, 2e300);
  CHECK_THROWS_AS(scatter(methods, {.x_range = Range{1e300, next}}), heed::Error);
  const double beside = std::nextafter(1.0, 2.0);  // the points lie 10^18 pixels away
  CHECK(scatter(methods, {.x_range = Range{1, beside}, .y_range = Range{1, beside}}).width() > 0);
  CHECK_THROWS_WITH(scatter(methods, {.width = std::numeric_limits<int>::max()}),
                    heed::test::ContainsSubstring("more than the 357913941 that fit a PNG"));
}

TEST_CASE("a line chart: points on linear axes, lines between them, round ticks") {
  const std::vector<heed::plot::LineSeries> lines{
      {.name = "falls", .points = {{0, 4}, {100, 2}, {200, 0}}, .marked = true},
      {.name = "rises", .points = {{0, 0}, {200, 8}}, .faint = {{0, 1.2}, {200, 1.2}}}};
  const heed::plot::LineChartOptions options{
      .title = "two", .x_range = Range{0, 200}, .y_range = Range{0, 4}};
  const auto layout = heed::plot::line_chart_plot::arrange(lines, options);
  const Image image = heed::plot::line_chart(lines, options);
  REQUIRE(image.width() == layout.width);
  const Rect& p = layout.plot;
  const auto at = [&](double x, double y) {
    return Rect{p.x + static_cast<int>(p.width * x) - 1, p.y + static_cast<int>(p.height * y) - 1,
                3, 3};
  };
  const Color first = scatter_plot::color_of(0), second = scatter_plot::color_of(1);
  CHECK(image.at(p.x + p.width / 2, p.y + p.height / 2 + 2) == first);  // its mark
  CHECK(has_color(image, at(0.25, 0.25), first));
  CHECK(image.at(p.x + p.width / 3, p.y + static_cast<int>(0.7 * p.height)) != palette::white);
  CHECK(has_color(image, at(0.45, 0.1), second));
  CHECK_FALSE(has_color(image, {p.x + p.width / 2 + 4, 0, p.width, p.y - 2}, second));  // clipped
  CHECK(texts(layout.y_ticks) ==
        std::vector<std::string>{"0", "0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4"});
  CHECK(texts(heed::plot::line_chart_plot::linear_ticks({0, 12000}, 560, 70)).back() == "12000");
  CHECK(texts(heed::plot::line_chart_plot::linear_ticks({-0.1, 0.2}, 90, 30)) ==
        std::vector<std::string>{"-0.1", "0", "0.1", "0.2"});
  CHECK(border_is_clear(image));
}

TEST_CASE("a line chart: none, one or equal numbers have axes; what is not finite is refused") {
  using heed::plot::line_chart;
  for (const std::vector<heed::plot::LineSeries>& some :
       {std::vector<heed::plot::LineSeries>{},
        {{"none", {}}},
        {{"one", {{5, 5}}}},
        {{"equal", {{2, 0}, {3, 0}}}},
        {{"wide", {{-1e300, -1e300}, {1e300, 1e300}}}}}) {
    CHECK(border_is_clear(line_chart(some)));
  }
  constexpr double inf = std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH(line_chart({{"a", {{1, 1}, {2, inf}}}}),
                    "heed::plot::line_chart: y of point 1 of 'a' is inf");
  CHECK_THROWS_WITH(line_chart({}, {.x_range = Range{2, 2}}),
                    "heed::plot::line_chart: x_range is 2 ... 2");
  CHECK_THROWS_AS(line_chart({{"a", {{-1.7e308, 1}, {1.7e308, 1}}}}), heed::Error);
}

TEST_CASE("a line chart: ticks of a small range far from 0 have labels of their own") {
  for (const heed::plot::Range range : {heed::plot::Range{2.302585, 2.3025853}, {1e6, 1e6 + 20}}) {
    const auto ticks = heed::plot::line_chart_plot::linear_ticks(range, 300, 30);
    CHECK(ticks.size() >= 3);
    for (std::size_t n = 1; n < ticks.size(); ++n) CHECK(ticks[n].text != ticks[n - 1].text);
  }
}

TEST_CASE("a loss curve: training smoothed, held out marked, a line at the best step") {
  heed::train::Progress progress;
  for (int n = 0; n < 400; ++n) progress.losses.push_back(n % 2 == 0 ? 3 : 1);
  progress.held_out = {{100, 2.5}, {200, 1.5}, {400, 1.75}};
  const auto points = heed::train::smoothed(progress.losses, 4);
  CHECK(points[0].y == 3);
  CHECK(points[200].y == Approx(2).margin(0.2));
  CHECK(points[200].x == 201);
  std::vector<double> rising(500);
  for (std::size_t n = 0; n < 500; ++n) rising[n] = static_cast<double>(n * n);
  for (const heed::Index reach : {1, 7, 60}) {
    const auto means = heed::train::smoothed(rising, reach);
    for (heed::Index n = 0; n < 500; ++n) {
      const heed::Index near = std::min({reach, n, 499 - n});
      double sum = 0;
      for (heed::Index i = n - near; i <= n + near; ++i) sum += rising[static_cast<std::size_t>(i)];
      CHECK(means[static_cast<std::size_t>(n)].y == sum / static_cast<double>(2 * near + 1));
    }
  }
  const Image image = heed::train::loss_curve(progress);
  const auto layout = heed::plot::line_chart_plot::arrange(
      {{"training", {{1, 1}, {400, 3}}}, {"held out", {}}},
      {.x_name = "step", .y_name = "loss", .guide = heed::plot::Guide{200, "best"}});
  CHECK(has_color(image, {static_cast<int>(layout.guide_x), layout.plot.y, 1, layout.plot.height},
                  palette::faint_ink));
  CHECK(border_is_clear(heed::train::loss_curve({})));
}

}  // namespace
