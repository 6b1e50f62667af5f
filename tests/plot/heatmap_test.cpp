// Heat maps: the right colour at the right place, labels that are there and inside, odd matrices.
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "heed/plot/heatmap_grid.hpp"
#include "support/catch.hpp"

namespace {

using Eigen::MatrixXd;
using Eigen::MatrixXf;
using heed::plot::cells_of;
using heed::plot::Color;
using heed::plot::heatmap;
using heed::plot::HeatmapOptions;
using heed::plot::Image;
using heed::plot::Rect;
namespace heat = heed::plot::heat;
namespace palette = heed::plot::palette;

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_value = std::nan("");

bool has_ink(const Image& image, Rect rect) {
  for (int y = rect.y; y < rect.y + rect.height; ++y) {
    for (int x = rect.x; x < rect.x + rect.width; ++x) {
      if (image.contains(x, y) && image.at(x, y) != palette::white) return true;
    }
  }
  return false;
}

// Nothing may touch the border: what does was cut off.
bool border_is_clear(const Image& image) {
  const int w = image.width(), h = image.height();
  return !has_ink(image, {0, 0, w, 1}) && !has_ink(image, {0, h - 1, w, 1}) &&
         !has_ink(image, {0, 0, 1, h}) && !has_ink(image, {w - 1, 0, 1, h});
}

// The colour just inside the upper left corner of a cell, where no text stands.
Color cell_color(const Image& image, const heat::Layout& layout, int row, int column) {
  return image.at(layout.plot.x + column * layout.cell_width + 1,
                  layout.plot.y + row * layout.cell_height + 1);
}

std::vector<std::string> words(int count, const std::string& stem = "word") {
  std::vector<std::string> labels;
  labels.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) labels.push_back(stem + std::to_string(i));
  return labels;
}

TEST_CASE("each cell has its value's colour: rows run down, columns to the right") {
  MatrixXf m(2, 3);
  m << 0.F, 0.25F, 0.5F, 0.75F, 1.F, 0.1F;
  const HeatmapOptions options{.title = "six cells"};
  const auto layout = heat::arrange(cells_of(m), options);
  const Image image = heatmap(m, options);
  REQUIRE(image.width() == layout.width);
  REQUIRE(image.height() == layout.height);
  const auto blues = heed::plot::blues();
  for (int row = 0; row < 2; ++row) {
    for (int column = 0; column < 3; ++column) {
      CAPTURE(row, column);
      CHECK(cell_color(image, layout, row, column) == blues(static_cast<double>(m(row, column))));
    }
  }
  CHECK(border_is_clear(image));
}

TEST_CASE("strides, maps, blocks and tensors look alike") {
  heed::Tensor2<double> tensor(2, 2);
  tensor.setValues({{0.0, 1.0}, {2.0, 4.0}});
  MatrixXd wide = MatrixXd::Constant(4, 4, 99);
  wide.block(1, 1, 2, 2) << 0, 1, 2, 4;
  const auto block = wide.block(1, 1, 2, 2);
  const std::vector<double> memory{0, 1, 2, 4};
  const auto view = heed::view(memory.data(), {2, 2});
  const auto bytes = [](const Image& image) {
    return std::vector<std::uint8_t>(image.data(),
                                     image.data() + 3 * image.width() * image.height());
  };
  CHECK(bytes(heatmap(block)) == bytes(heatmap(tensor)));
  CHECK(bytes(heatmap(view)) == bytes(heatmap(tensor)));
}

TEST_CASE("half types are drawn") {
  Eigen::Matrix<Eigen::half, 2, 2> m;
  m << Eigen::half(0.F), Eigen::half(1.F), Eigen::half(0.5F), Eigen::half(0.25F);
  const auto cells = cells_of(m);
  CHECK(cells.at(1, 0) == 0.5);
  CHECK(cells.summary.high == 1);
}

TEST_CASE("NaN and infinities have colours of their own, and a legend counts them") {
  MatrixXd m(2, 2);
  m << nan_value, inf, -inf, 0.5;
  const auto layout = heat::arrange(cells_of(m), {});
  const Image image = heatmap(m);
  CHECK(cell_color(image, layout, 0, 0) == palette::not_a_number);
  CHECK(cell_color(image, layout, 0, 1) == palette::plus_infinity);
  CHECK(cell_color(image, layout, 1, 0) == palette::minus_infinity);
  REQUIRE(layout.legend.size() == 3);
  CHECK(layout.legend[0].text == "NaN (1)");
  CHECK(has_ink(image, {layout.plot.x, image.height() - 25, 200, 20}));
  for (const auto& map : {heed::plot::blues(), heed::plot::red_blue()}) {
    for (int i = 0; i < 256; ++i) CHECK(map(i / 255.0) != palette::not_a_number);
  }
  CHECK(border_is_clear(image));
}

TEST_CASE("nothing finite at all still gives a picture") {
  const MatrixXd nans = MatrixXd::Constant(3, 3, nan_value);
  const auto layout = heat::arrange(cells_of(nans), {});
  CHECK(layout.range.low == 0);
  CHECK(layout.range.high == 1);
  CHECK(border_is_clear(heatmap(nans)));
}

TEST_CASE("ranges: given, from the values, symmetric for a diverging map, never empty") {
  MatrixXd m(1, 3);
  m << -1, 0, 3;
  CHECK(heat::range_of(cells_of(m), {}).low == -1);
  CHECK(heat::range_of(cells_of(m), {.range = heed::plot::Range{0, 10}}).high == 10);
  const auto symmetric = heat::range_of(cells_of(m), {.colors = heed::plot::red_blue()});
  CHECK(symmetric.low == -3);
  CHECK(symmetric.high == 3);
  MatrixXd weights(1, 2);
  weights << 0.2, 0.6;
  CHECK(heat::range_of(cells_of(weights), {}).low == 0);
  CHECK(heat::range_of(cells_of(MatrixXd(-weights)), {}).high == 0);
  const auto flat = heat::range_of(cells_of(MatrixXd(MatrixXd::Constant(2, 2, 0.25))), {});
  CHECK(flat.low == 0);
  CHECK(flat.high == 0.25);
  const auto zero = heat::range_of(cells_of(MatrixXd(MatrixXd::Zero(2, 2))), {});
  CHECK(zero.low < zero.high);
  MatrixXd huge(1, 2);
  huge << -1.7e308, 1.7e308;
  CHECK(heatmap(huge).width() > 0);
  MatrixXd tiny(1, 2);
  tiny << 5e-324, 1e-323;
  CHECK(heatmap(tiny).width() > 0);
}

TEST_CASE("ranges as small or as wide as double has them give their ends the map's end colours") {
  const auto blues = heed::plot::blues();
  constexpr double tiny = std::numeric_limits<double>::denorm_min();
  constexpr double most = std::numeric_limits<double>::max();
  CHECK(heat::color_of(tiny, {0, tiny}, blues) == blues(1));
  CHECK(heat::color_of(0, {0, tiny}, blues) == blues(0));
  CHECK(heat::color_of(most, {-most, most}, blues) == blues(1));
  CHECK(heat::color_of(0, {-most, most}, blues) == blues(0.5));
  CHECK(heat::color_of(-most, {-tiny, tiny}, blues) == blues(0));
  MatrixXd m(1, 2);
  m << 0, tiny;
  const auto layout = heat::arrange(cells_of(m), {});
  CHECK(cell_color(heatmap(m), layout, 0, 1) == blues(1));
  CHECK(blues(nan_value) == blues(0));
  CHECK(blues(inf) == blues(1));
}

TEST_CASE("a range that is not finite or runs backwards is refused") {
  const MatrixXd m = MatrixXd::Identity(2, 2);
  const auto with = [&](double low, double high) {
    return heatmap(m, {.range = heed::plot::Range{low, high}});
  };
  CHECK_THROWS_WITH(with(-inf, 1),
                    "heed::plot::heatmap: range is -inf ... 1; both ends must be "
                    "finite and the first not above the second");
  CHECK_THROWS_AS(with(0, nan_value), heed::Error);
  CHECK_THROWS_AS(with(2, 1), heed::Error);
  CHECK(with(1, 1).width() > 0);  // an empty range: that of the values is taken
}

TEST_CASE("narrow ranges far from 0 have a colour bar that ends") {
  const double next = std::nextafter(1.0, 2.0);
  for (const heed::plot::Range range : {heed::plot::Range{1, next}, {-5e-324, 5e-324}}) {
    const auto axis = heed::plot::bar_axis(range, 300);
    CHECK(axis.ticks.size() >= 2);
    CHECK(axis.ticks.size() < 10);
  }
}

TEST_CASE("a picture larger than a PNG holds is refused before it is drawn") {
  const MatrixXf big = MatrixXf::Zero(1024, 1024);
  const auto refused = heed::test::ContainsSubstring("more than the 357913941 that fit a PNG");
  CHECK_THROWS_WITH(heatmap(big, {.values = true}), refused);
  CHECK_THROWS_WITH(heatmap(MatrixXf(MatrixXf::Zero(600, 600)), {.values = true}), refused);
  CHECK_THROWS_WITH(
      heatmap(MatrixXf(MatrixXf::Zero(2, 2)), {.plot_size = std::numeric_limits<int>::max()}),
      refused);
  CHECK(heatmap(MatrixXf(MatrixXf::Zero(2, 2)), {.plot_size = -1}).width() > 0);
  CHECK_THROWS_WITH(heed::plot::arrange({Image(20000, 1), Image(1, 20000)}, {.columns = 1}),
                    refused);
}

TEST_CASE("means of a block do not overflow") {
  const MatrixXd m = MatrixXd::Constant(1, 4096, std::numeric_limits<double>::max());
  CHECK(cells_of(m).at(0, 0) == std::numeric_limits<double>::max());
}

TEST_CASE("any numbers in any range make a picture or an error") {
  std::mt19937_64 random(7);
  const auto any_double = [&] {
    const std::uint64_t bits = random();
    switch (bits % 6) {
      case 0:
        return __builtin_bit_cast(double, random());  // NaN, infinities and denormals among them
      case 1:
        return __builtin_bit_cast(double, random() >> 12U);  // denormal
      case 2:
        return bits % 12 == 2 ? inf : -inf;
      case 3:
        return nan_value;
      default:
        return static_cast<double>(bits % 1000) / 100 - 5;
    }
  };
  int drawn = 0;
  for (int n = 0; n < 300; ++n) {
    MatrixXd m(1 + n % 3, 1 + n % 5);
    for (int at = 0; at < m.size(); ++at) m.data()[at] = any_double();
    HeatmapOptions options{.values = n % 2 == 0, .square_cells = n % 4 < 2};
    const heed::plot::Range range{any_double(), any_double()};
    if (n % 7 < 4) options.range = range;
    const bool legal = !options.range || (heed::is_finite(range.low) &&
                                          heed::is_finite(range.high) && range.low <= range.high);
    if (n % 3 == 0) options.colors = heed::plot::red_blue();
    options.plot_size = 40;
    drawn += legal ? 1 : 0;
    CAPTURE(n, range.low, range.high);
    if (legal) {
      CHECK(heatmap(m, options).width() > 0);
    } else {
      CHECK_THROWS_AS(heatmap(m, options), heed::Error);
    }
  }
  CHECK(drawn > 150);
}

TEST_CASE("every token label is drawn beside its row and below its column") {
  const MatrixXd m = MatrixXd::Identity(10, 10);
  const HeatmapOptions options{.row_labels = words(10), .column_labels = words(10)};
  const auto layout = heat::arrange(cells_of(m), options);
  const Image image = heatmap(m, options);
  REQUIRE(layout.rows.ticks.size() == 10);
  REQUIRE(layout.columns.ticks.size() == 10);
  CHECK(layout.columns.degrees == 45);
  for (int i = 0; i < 10; ++i) {
    CAPTURE(i);
    const int y = layout.plot.y + i * layout.cell_height;
    CHECK(has_ink(image, {layout.plot.x - 40, y + 4, 30, layout.cell_height - 8}));
    const int x = layout.plot.x + i * layout.cell_width;
    CHECK(has_ink(image, {x, layout.plot.y + layout.plot.height + 6, layout.cell_width / 2, 14}));
  }
  CHECK(border_is_clear(image));
}

TEST_CASE("short labels stay level, crowded ones stand on edge or are thinned out") {
  using heed::plot::column_axis;
  CHECK(column_axis(4, 400, {"a", "b", "c", "d"}).degrees == 0);
  CHECK(column_axis(10, 220, words(10)).degrees == 45);
  CHECK(column_axis(10, 160, words(10)).degrees == 90);
  const auto thinned = column_axis(100, 300, words(100));
  CHECK(thinned.ticks.size() < 30);
  CHECK(thinned.ticks.size() > 10);
  CHECK(thinned.ticks.front().text == "word0");
}

TEST_CASE("indices are round numbers") {
  const auto axis = heed::plot::column_axis(100, 300, {});
  REQUIRE(axis.ticks.size() == 5);
  CHECK(axis.ticks[1].text == "20");
  CHECK(axis.ticks[1].position == Approx(61.5));
}

TEST_CASE("very long labels are shortened and nothing is cut off") {
  const std::string endless(500, 'm');
  std::vector<std::string> labels(5, endless);
  labels[2] = "\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad\xe6\x96\x87";
  const Image image = heatmap(MatrixXd(MatrixXd::Identity(5, 5)), {.title = std::string(120, 'T'),
                                                                   .row_labels = labels,
                                                                   .column_labels = labels,
                                                                   .values = true});
  CHECK(image.height() < 700);
  CHECK(border_is_clear(image));
}

TEST_CASE("a long first column label pushes the plot to the right instead of over the edge") {
  std::vector<std::string> labels(8, "x");
  labels[0] = "a remarkably long";
  const Image image =
      heatmap(MatrixXd(MatrixXd::Identity(8, 8)), {.column_labels = labels, .row_name = ""});
  CHECK(border_is_clear(image));
}

TEST_CASE("cell values are written in the cells and widen them") {
  const MatrixXd m = MatrixXd::Constant(3, 3, -123.456);
  const HeatmapOptions options{.values = true};
  const auto layout = heat::arrange(cells_of(m), options);
  const Image image = heatmap(m, options);
  CHECK(layout.cell_width > heed::plot::text_width("-123.46", heat::value_cap));
  int ink = 0;
  const Color ground = cell_color(image, layout, 1, 1);
  for (int y = 2; y < layout.cell_height - 2; ++y) {
    for (int x = 2; x < layout.cell_width - 2; ++x) {
      ink += image.at(layout.plot.x + layout.cell_width + x,
                      layout.plot.y + layout.cell_height + y) == ground
                 ? 0
                 : 1;
    }
  }
  CHECK(ink > 60);
  CHECK(heat::value_text(0.2834) == "0.28");
  CHECK(heat::value_text(-0.001) == "0.00");
  CHECK(heat::value_text(nan_value) == "NaN");
  CHECK(heat::value_text(-inf) == "-inf");
  CHECK(heat::value_text(1e20) == "1.0e+20");
}

TEST_CASE("0 x 0, 0 x n, n x 0 and 1 x 1") {
  for (const auto& [rows, columns] : {std::pair{0, 0}, {0, 4}, {4, 0}, {1, 1}}) {
    CAPTURE(rows, columns);
    const Image image = heatmap(MatrixXd(MatrixXd::Ones(rows, columns)), {.title = "small"});
    CHECK(image.width() > 50);
    CHECK(border_is_clear(image));
  }
}

TEST_CASE("512 x 512 keeps every element, 3000 columns are averaged and keep their NaN") {
  MatrixXf big = MatrixXf::Zero(512, 512);
  big(17, 400) = 1;
  const auto layout = heat::arrange(cells_of(big), {});
  const Image image = heatmap(big);
  CHECK(layout.plot.width == 512 * layout.cell_width);
  CHECK(image.at(layout.plot.x + 400 * layout.cell_width,
                 layout.plot.y + 17 * layout.cell_height) == heed::plot::blues()(1));
  MatrixXf wide = MatrixXf::Zero(2, 3000);
  wide(1, 2999) = std::nanf("");
  wide(0, 0) = 4;
  const auto cells = cells_of(wide);
  CHECK(cells.columns == 1024);
  CHECK(cells.matrix_columns == 3000);
  CHECK(heed::is_nan(cells.at(1, 1023)));
  CHECK(cells.summary.high == 4);
  CHECK(cells.at(0, 0) == Approx(4.0 / 3));
  CHECK(heatmap(wide).width() < 1400);
}

TEST_CASE("square_cells = false fills a square plot") {
  for (const auto& [rows, columns] : {std::pair{64, 100}, {100, 100}, {3, 1000}, {48, 7}}) {
    const auto cells = cells_of(MatrixXd(MatrixXd::Random(rows, columns)));
    const auto layout = heat::arrange(cells, {.square_cells = false});
    CAPTURE(rows, columns);
    CHECK(layout.plot.width == layout.plot.height);
    CHECK(layout.plot.width == std::max(320, columns));
    const Rect last = layout.cell(cells.rows - 1, cells.columns - 1, cells);
    CHECK(last.x + last.width == layout.plot.x + layout.plot.width);
    CHECK(last.y + last.height == layout.plot.y + layout.plot.height);
    CHECK(layout.cell(1, 1, cells).x == layout.plot.x + layout.cell(0, 0, cells).width);
  }
}

TEST_CASE("plot_size is the longer side, above 48 pixels a cell too") {
  const auto cells = cells_of(MatrixXd(MatrixXd::Ones(2, 4)));
  const auto plot = [&](const HeatmapOptions& options) {
    return heat::arrange(cells, options).plot;
  };
  CHECK(plot({}).width == 4 * 48);
  CHECK(plot({.plot_size = 400}).width == 400);
  CHECK(plot({.plot_size = 400}).height == 200);
  CHECK(plot({.square_cells = false, .plot_size = 500}).height == 500);
  CHECK(plot({.plot_size = 3}).width == 4);
}

TEST_CASE("a title stands over its plot, in lines where it is longer") {
  const std::string title = "Causal mask (autoregressive): 62.5 % of pairs";
  const auto cells = cells_of(MatrixXd(MatrixXd::Identity(4, 4)));
  const HeatmapOptions options{.title = title, .color_bar = false};
  const auto layout = heat::arrange(cells, options);
  REQUIRE(layout.title.size() == 3);
  CHECK(layout.title[0] + ' ' + layout.title[1] + ' ' + layout.title[2] == title);
  const auto& plot = layout.plot;
  CHECK(layout.width - plot.x - plot.width < 50);
  const Image image = heat::draw(cells, options);
  int left = image.width(), right = 0;
  for (int x = 0; x < image.width(); ++x) {
    if (!has_ink(image, {x, 0, 1, plot.y - 3})) continue;
    left = std::min(left, x), right = std::max(right, x);
  }
  CHECK(std::abs(left + right - 2 * plot.x - plot.width) <= 3);
  CHECK(border_is_clear(image));
}

TEST_CASE("panels beside each other begin at one height, whatever their titles") {
  const std::vector<MatrixXd> two(2, MatrixXd::Ones(3, 3));
  const Image grid = heed::plot::heatmap_grid(
      two, {"short", "a title that is far too long for its plot of three cells"}, {});
  const auto blues = heed::plot::blues();
  std::vector<int> first_rows;
  for (const int x : {75, grid.width() / 2 + 100}) {
    int y = 0;
    while (y < grid.height() && grid.at(x, y) != blues(1)) ++y;
    first_rows.push_back(y);
  }
  CHECK(first_rows[0] < grid.height());
  CHECK(first_rows[0] == first_rows[1]);
}

TEST_CASE("one row has a colour bar that can be read") {
  const MatrixXd m = MatrixXd::Random(1, 300);
  const auto layout = heat::arrange(cells_of(m), {});
  CHECK(layout.plot.height < 5);
  CHECK(layout.bar_height >= 90);
  CHECK(layout.height > layout.plot.y + layout.bar_height);
  for (std::size_t i = 1; i < layout.bar.ticks.size(); ++i) {
    CHECK(std::abs(layout.bar.ticks[i].position - layout.bar.ticks[i - 1].position) > 12);
  }
  CHECK(border_is_clear(heatmap(m)));
}

TEST_CASE("values outside a given range are counted in the legend") {
  MatrixXd m(2, 2);
  m << -3, 0.5, 2, 4;
  const HeatmapOptions options{.range = heed::plot::Range{0, 1}};
  const auto layout = heat::arrange(cells_of(m), options);
  REQUIRE(layout.legend.size() == 2);
  CHECK(layout.legend[0].text == "below 0 (1)");
  CHECK(layout.legend[1].text == "above 1 (2)");
  CHECK(layout.legend[1].color == heed::plot::blues()(1));
  CHECK(heat::arrange(cells_of(m), {}).legend.empty());
  CHECK(border_is_clear(heatmap(m, options)));
}

TEST_CASE("the colour bar names both ends and round values between, none twice") {
  const auto axis = heed::plot::bar_axis({0.013, 0.324}, 300);
  REQUIRE(axis.ticks.size() >= 4);
  CHECK(axis.ticks[0].text == "0.324");
  CHECK(axis.ticks[1].text == "0.013");
  for (std::size_t i = 0; i < axis.ticks.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      CHECK(std::abs(axis.ticks[i].position - axis.ticks[j].position) > 9);
    }
  }
  CHECK(heed::plot::bar_axis({-1, 1}, 40).ticks.size() >= 2);
}

TEST_CASE("labels must be one a row and one a column") {
  const MatrixXd m = MatrixXd::Identity(3, 2);
  CHECK_THROWS_WITH(heatmap(m, {.row_labels = words(2)}),
                    "heed::plot::heatmap: 2 row labels for 3 rows");
  CHECK_THROWS_AS(heatmap(m, {.column_labels = words(3)}), heed::Error);
}

TEST_CASE("a grid shares one range and places its panels row by row") {
  std::vector<MatrixXd> heads(5, MatrixXd::Zero(4, 4));
  heads[0](0, 0) = 1;
  heads[4](0, 0) = 2;
  const HeatmapOptions options{.color_bar = false};
  const auto titles = heed::plot::head_titles(5);
  const Image grid = heed::plot::heatmap_grid(heads, titles, options, {.columns = 3});
  HeatmapOptions panel{.title = "Head 4", .range = heed::plot::Range{0, 2}, .color_bar = false};
  const Image last = heatmap(heads[4], panel);
  const auto layout = heat::arrange(cells_of(heads[4]), panel);
  CHECK(grid.width() == 3 * last.width());
  CHECK(grid.height() == 2 * last.height());
  CHECK(grid.at(last.width() + layout.plot.x + 1, last.height() + layout.plot.y + 1) ==
        heed::plot::blues()(1));
  CHECK(grid.at(layout.plot.x + 1, layout.plot.y + 1) == heed::plot::blues()(0.5));
  CHECK(border_is_clear(heed::plot::heatmap_grid(heads, titles, {}, {.title = "Five heads"})));
}

TEST_CASE("heads of a rank-4 tensor are its matrices") {
  heed::Tensor4<float> weights(2, 3, 2, 2);
  for (int i = 0; i < 24; ++i) weights.data()[i] = static_cast<float>(i);
  const auto heads = heed::plot::heads_of(weights, 1);
  REQUIRE(heads.size() == 3);
  CHECK(heads[0](0, 0) == 12);
  CHECK(heads[2](1, 1) == 23);
  CHECK_THROWS_WITH(heed::plot::heads_of(weights, 2),
                    "heed::plot::heads_of: batch 2 of weights [2,3,2,2]");
}

TEST_CASE("grids refuse what does not fit together, and may be empty") {
  const std::vector<MatrixXd> two(2, MatrixXd::Zero(1, 1));
  CHECK_THROWS_WITH(heed::plot::heatmap_grid(two, {"only one"}),
                    "heed::plot::heatmap_grid: 2 matrices but 1 titles");
  CHECK_THROWS_AS(heed::plot::arrange({Image(1, 1)}, {.columns = 0}), heed::Error);
  CHECK(heed::plot::arrange({}).height() == 0);
}

}  // namespace
