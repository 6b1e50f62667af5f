// Many heat maps in one picture: the heads of a layer, or patterns to compare side by side.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/plot/canvas.hpp"
#include "heed/plot/heatmap.hpp"
#include "heed/plot/image.hpp"

namespace heed::plot {

struct GridOptions {
  int columns = 4;
  std::string title = {};
};

inline namespace HEED_ABI {

namespace heat {

// The picture with a bar to its right, half as high and centred.
inline Image with_bar(const Image& picture, Range range, const Colormap& colors) {
  const int bar_height = std::max(picture.height() / 2, least_bar);
  const Axis ticks = bar_axis(range, bar_height);
  const int room = bar_width + 2 * gap + whole_up(ticks.depth) + margin;
  const int height = std::max(picture.height(), bar_height + 2 * margin);
  check_picture("heed::plot::heatmap_grid", 1.0 * picture.width() + room, height);
  Image image(picture.width() + room, height);
  image.paste(picture, 0, 0);
  draw_bar(image, {picture.width(), (image.height() - bar_height) / 2, bar_width, bar_height},
           ticks, colors);
  return image;
}

}  // namespace heat

// Finished pictures row by row, each column as wide as its widest, with a title over all.
// Throws heed::Error for fewer than one column, and for more pixels than a PNG holds.
inline Image arrange(const std::vector<Image>& pictures, const GridOptions& options = {}) {
  if (options.columns < 1) {
    throw Error("heed::plot::arrange: needs at least 1 column, got " +
                std::to_string(options.columns));
  }
  const auto columns = static_cast<std::size_t>(options.columns);
  std::vector<int> widths(std::min(columns, pictures.size()));
  std::vector<int> heights((pictures.size() + columns - 1) / columns);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    widths[i % columns] = std::max(widths[i % columns], pictures[i].width());
    heights[i / columns] = std::max(heights[i / columns], pictures[i].height());
  }
  constexpr double cap = 15;
  const int top = options.title.empty() ? 0 : whole(cap) + 2 * heat::margin;
  double width = 0, height = top;
  for (const int w : widths) width += w;
  for (const int h : heights) height += h;
  width = std::max(width, text_width(options.title, cap) + 2 * heat::margin);
  check_picture("heed::plot::arrange", width, height);
  Image image(whole_up(width), whole_up(height));
  draw_text(image, options.title, {width / 2.0, heat::margin + cap / 2},
            {.cap_height = cap, .align = Align::center});
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    int x = 0, y = top;
    for (std::size_t c = 0; c < i % columns; ++c) x += widths[c];
    for (std::size_t r = 0; r < i / columns; ++r) y += heights[r];
    image.paste(pictures[i], x, y);
  }
  return image;
}

// The matrix of every head of one batch: weights [B, H, Lq, Lk], or [B, Lq, Lk] with one head.
// The views refer to `weights`. Throws heed::Error for a batch that is not there.
template <TensorLike X>
std::vector<View<const ScalarOf<X>, 2>> heads_of(const X& weights, Index batch = 0) {
  const auto view = lift(view_of(weights));  // [B, H, Lq, Lk]
  if (batch < 0 || batch >= view.extent[0]) {
    throw Error("heed::plot::heads_of: batch " + std::to_string(batch) + " of weights " +
                to_string(view));
  }
  std::vector<View<const ScalarOf<X>, 2>> heads;
  for (Index h = 0; h < view.extent[1]; ++h) heads.push_back(view.matrix(batch, h));
  return heads;
}

// "Head 0", "Head 1", …: titles for a grid of heads.
inline std::vector<std::string> head_titles(std::size_t heads) {
  std::vector<std::string> titles;
  for (std::size_t h = 0; h < heads; ++h) titles.push_back("Head " + std::to_string(h));
  return titles;
}

namespace heat {

// Matrices under the same options, in one range, which is left in `options`; no colour bars unless
// the options ask for them.
template <Matrix M>
std::vector<Image> panels(const char* call, const std::vector<M>& matrices,
                          const std::vector<std::string>& titles, HeatmapOptions& options) {
  if (titles.size() != matrices.size()) {
    throw Error(std::string(call) + ": " + std::to_string(matrices.size()) + " matrices but " +
                std::to_string(titles.size()) + " titles");
  }
  std::vector<Cells> cells;
  Cells all;
  for (const M& matrix : matrices) {
    cells.push_back(cells_of(matrix));
    all.summary.add(cells.back().summary);
  }
  options.range = range_of(all, options);
  int title_lines = 0;  // the most of any panel
  for (std::size_t i = 0; i < cells.size(); ++i) {
    check_labels("row", options.row_labels.size(), cells[i].matrix_rows);
    check_labels("column", options.column_labels.size(), cells[i].matrix_columns);
    options.title = titles[i];
    title_lines = std::max(title_lines, arrange(cells[i], options).title_lines);
  }
  std::vector<Image> pictures;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    options.title = titles[i];
    pictures.push_back(draw(cells[i], options, title_lines));
  }
  return pictures;
}

}  // namespace heat

// Matrices under the same options, in one common range with one colour bar at the right.
//
// `titles` names each, in place of options.title. Throws heed::Error where the numbers differ.
template <Matrix M>
Image heatmap_grid(const std::vector<M>& matrices, const std::vector<std::string>& titles,
                   HeatmapOptions options = {}, const GridOptions& grid = {}) {
  const bool with_bar = options.color_bar;
  options.color_bar = false;
  const Image panels =
      arrange(heat::panels("heed::plot::heatmap_grid", matrices, titles, options), grid);
  return with_bar ? heat::with_bar(panels, *options.range, options.colors) : panels;
}

}  // namespace HEED_ABI
}  // namespace heed::plot
