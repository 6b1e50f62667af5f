// Patterns side by side: every panel where it belongs, its cells the weights under its own mask,
// one scale for all, and the share of pairs counted, not estimated.
#include <cmath>
#include <string>
#include <vector>

#include "heed/inspect/compare_patterns.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/combine.hpp"
#include "heed/mask/padding.hpp"
#include "heed/mask/window.hpp"
#include "support/catch.hpp"

namespace {

using heed::Index;
using heed::Shape;
using heed::inspect::blues;
using heed::inspect::cells_of;
using heed::inspect::compare_patterns;
using heed::inspect::heatmap;
using heed::inspect::HeatmapOptions;
using heed::inspect::Image;
using heed::inspect::Pattern;
namespace heat = heed::inspect::heat;
namespace mask = heed::mask;
namespace patterns = heed::inspect::patterns;

bool equal(const Image& a, const Image& b) {
  const auto bytes = [](const Image& image) {
    return std::vector<std::uint8_t>(image.data(),
                                     image.data() + 3 * image.width() * image.height());
  };
  return a.width() == b.width() && a.height() == b.height() && bytes(a) == bytes(b);
}

// The part of `grid` that a picture of the panel's size covers.
Image panel_of(const Image& grid, const Image& panel, int x, int y) {
  Image part(panel.width(), panel.height());
  part.paste(grid, -x, -y);
  return part;
}

heed::Tensor4<double> waves(Index B, Index H, Index L, Index D, double phase) {
  heed::Tensor4<double> x(B, H, L, D);
  for (Index n = 0; n < x.size(); ++n) {
    x.data()[n] = 1.5 * std::sin(phase + 0.7 * static_cast<double>(n * n % 97));
  }
  return x;
}

// The textbook's weights of one row of one head: what `seen` keeps, exponentiated, divided.
std::vector<double> row_of(const heed::Tensor4<double>& q, const heed::Tensor4<double>& k, Index b,
                           Index h, Index i, const std::vector<bool>& seen) {
  std::vector<double> weights(seen.size());
  const Index D = q.dimension(3), group = q.dimension(1) / k.dimension(1);
  double sum = 0;
  for (std::size_t j = 0; j < seen.size(); ++j) {
    double dot = 0;
    for (Index d = 0; d < D; ++d) dot += q(b, h, i, d) * k(b, h / group, static_cast<Index>(j), d);
    weights[j] = seen[j] ? std::exp(dot / std::sqrt(static_cast<double>(D))) : 0;
    sum += weights[j];
  }
  for (double& w : weights) w = sum > 0 ? w / sum : 0;
  return weights;
}

TEST_CASE("panels stand side by side and hold the weights under their own masks") {
  constexpr Index Lq = 5, Lk = 7;
  const auto q = waves(2, 4, Lq, 3, 0.2), k = waves(2, 2, Lk, 3, 1.1);
  const std::vector<int> lengths{7, 4};
  const std::vector<Pattern> named{
      {"causal", mask::causal()}, {"window", mask::window(1)}, {"padding", mask::padding(lengths)}};
  const auto seen = [&](std::size_t which, Index b, Index i, Index j) {
    const Index at = i + Lk - Lq;
    if (which == 0) return j <= at;
    if (which == 1) return std::abs(j - at) <= 1;
    return j < lengths[static_cast<std::size_t>(b)];
  };
  const std::vector<std::vector<std::string>> titles{
      {"causal: 71.4 % of pairs", "window: 40.0 % of pairs", "padding: 100 % of pairs"},
      {"causal: 71.4 % of pairs", "window: 40.0 % of pairs", "padding: 57.1 % of pairs"}};
  for (Index b = 0; b < 2; ++b) {
    for (Index h = 0; h < 4; ++h) {
      CAPTURE(b, h);
      HeatmapOptions options{.range = heed::inspect::Range{0, 1}, .color_bar = false};
      const Image grid = compare_patterns(q, k, named, {.batch = b, .head = h, .heatmap = options});
      int x = 0;
      for (std::size_t n = 0; n < named.size(); ++n) {
        Eigen::MatrixXd weights(Lq, Lk);
        for (Index i = 0; i < Lq; ++i) {
          std::vector<bool> row(Lk);
          for (Index j = 0; j < Lk; ++j) row[static_cast<std::size_t>(j)] = seen(n, b, i, j);
          const auto expected = row_of(q, k, b, h, i, row);
          for (Index j = 0; j < Lk; ++j) weights(i, j) = expected[static_cast<std::size_t>(j)];
        }
        options.title = titles[static_cast<std::size_t>(b)][n];
        const Image panel = heatmap(weights, options);
        CHECK(equal(panel_of(grid, panel, x, 0), panel));
        x += panel.width();
      }
      CHECK(grid.width() == x);
    }
  }
}

TEST_CASE("one range for all panels: its end is the largest weight under any mask") {
  const Eigen::MatrixXf x = Eigen::MatrixXf::Ones(4, 2);  // weights are 1 / keys seen
  const std::vector<Pattern> named{{"all", mask::None{}}, {"causal", mask::causal()}};
  const Image grid = compare_patterns(x, x, named, {.heatmap = {.color_bar = false}});
  HeatmapOptions options{.range = heed::inspect::Range{0, 1}, .color_bar = false};
  options.title = "all: 100 % of pairs";
  const Image all = heatmap(Eigen::MatrixXf(Eigen::MatrixXf::Constant(4, 4, 0.25F)), options);
  CHECK(equal(panel_of(grid, all, 0, 0), all));
  const auto layout = heat::arrange(cells_of(Eigen::MatrixXf(x * x.transpose())), options);
  const auto cell = [&](int panel, int row, int column) {
    return grid.at(panel * all.width() + layout.plot.x + column * layout.cell_width + 1,
                   layout.plot.y + row * layout.cell_height + 1);
  };
  CHECK(cell(0, 0, 0) == blues()(0.25));
  CHECK(cell(1, 0, 0) == blues()(1));
  CHECK(cell(1, 0, 1) == blues()(0));
  CHECK(cell(1, 1, 1) == blues()(0.5));
}

TEST_CASE("the scale of q·k is an option") {
  Eigen::MatrixXd q(1, 1), k(2, 1);
  q << 1;
  k << 0, 2;
  const std::vector<Pattern> named{{"all", mask::None{}}};
  const auto lowest = [&](double scale) {
    const Image grid = compare_patterns(
        q, k, named,
        {.scale = scale, .heatmap = {.range = heed::inspect::Range{0, 1}, .color_bar = false}});
    HeatmapOptions options{
        .title = "all: 100 % of pairs", .range = heed::inspect::Range{0, 1}, .color_bar = false};
    const auto layout = heat::arrange(cells_of(Eigen::MatrixXd(k.transpose())), options);
    return grid.at(layout.plot.x + 1, layout.plot.y + 1);
  };
  CHECK(lowest(0) == blues()(0.5));
  CHECK(lowest(1) == blues()(1 / (1 + std::exp(2.0))));
}

TEST_CASE("bare masks: a pair attends or not, and there is no scale") {
  const Shape shape{.B = 1, .Hq = 1, .Hkv = 1, .Lq = 4, .Lk = 6, .D = 1, .Dv = 1, .rank = 4};
  const std::vector<Pattern> named{{"causal", mask::causal()}, {"not", ~mask::causal()}};
  const Image grid = compare_patterns(shape, named, {.grid = {.columns = 1}});
  HeatmapOptions options{.range = heed::inspect::Range{0, 1.25}, .color_bar = false};
  options.title = "causal: 75.0 % of pairs";
  Eigen::MatrixXf seen = Eigen::MatrixXf::Zero(4, 6);
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j <= i + 2; ++j) seen(i, j) = 1;
  }
  const Image first = heatmap(seen, options);
  options.title = "not: 25.0 % of pairs";
  const Image second = heatmap((1 - seen.array()).matrix().eval(), options);
  CHECK(equal(panel_of(grid, first, 0, 0), first));
  CHECK(equal(panel_of(grid, second, 0, first.height()), second));
  CHECK(grid.height() == first.height() + second.height());
  const Image ranged =
      compare_patterns(shape, named, {.heatmap = {.range = heed::inspect::Range{0, 1}}});
  CHECK(ranged.width() > 2 * first.width());  // a colour bar at the right
}

TEST_CASE("shares are rounded, but never to nothing or all") {
  CHECK(patterns::share_text(0, 10) == "0 %");
  CHECK(patterns::share_text(10, 10) == "100 %");
  CHECK(patterns::share_text(1, 8) == "12.5 %");
  CHECK(patterns::share_text(1, 2001) == "< 0.1 %");
  CHECK(patterns::share_text(1, 2000) == "0.1 %");
  CHECK(patterns::share_text(2000, 2001) == "> 99.9 %");
  CHECK(patterns::share_text(9994, 10000) == "99.9 %");
  CHECK(patterns::title("x", heed::Tensor2<float>(0, 3)) == "x: no pairs");
}

TEST_CASE("no patterns, no queries and no keys give pictures or none, no errors") {
  const Eigen::MatrixXf x = Eigen::MatrixXf::Ones(3, 2), none(0, 2);
  CHECK(compare_patterns(x, x, {}, {.heatmap = {.color_bar = false}}).height() == 0);
  CHECK(compare_patterns(none, x, {{"all", mask::None{}}}).width() > 0);
  CHECK(compare_patterns(x, none, {{"all", mask::None{}}}).width() > 0);
}

TEST_CASE("what does not fit is an error with the numbers") {
  const auto q = waves(1, 2, 3, 4, 0), k = waves(1, 2, 3, 5, 0);
  const std::vector<Pattern> named{{"causal", mask::causal()}};
  CHECK_THROWS_WITH(compare_patterns(q, k, named),
                    heed::test::ContainsSubstring("heed::inspect::compare_patterns: k has dim 5"));
  CHECK_THROWS_WITH(compare_patterns(q, q, named, {.head = 2}),
                    "heed::inspect::compare_patterns: head is 2 but there are 2 query heads");
  CHECK_THROWS_WITH(compare_patterns(q, q, named, {.batch = -1}),
                    "heed::inspect::compare_patterns: batch is -1 but there is 1 batch");
  CHECK_THROWS_AS(compare_patterns(q, q, named, {.scale = std::nan("")}), heed::Error);
  const std::vector<int> lengths{1, 2};
  CHECK_THROWS_AS(compare_patterns(q, q, {{"padding", mask::padding(lengths)}}), heed::Error);
  CHECK_THROWS_AS(compare_patterns(q, q, named, {.grid = {.columns = 0}}), heed::Error);
  CHECK_THROWS_AS(compare_patterns(q, q, named, {.heatmap = {.row_labels = {"only one"}}}),
                  heed::Error);
  const Shape shape{.B = 1, .Hq = 0, .Hkv = 0, .Lq = 4, .Lk = 4, .D = 1, .Dv = 1};
  CHECK_THROWS_WITH(compare_patterns(shape, named),
                    "heed::inspect::compare_patterns: head is 0 but there are 0 query heads");
}

}  // namespace
