// Gradient picture: norms of d_q, d_k and d_v as heat maps, a row a head, a column a position.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/core/tensor.hpp"
#include "heed/inspect/gradient_flow_data.hpp"
#include "heed/inspect/names.hpp"
#include "heed/plot/heatmap_grid.hpp"

namespace heed::inspect {
inline namespace HEED_ABI {

namespace gradient_panel {

// The same rows of each layer, one below the other.
//   rows  of a layer: [heads, positions]
template <class Rows>
Image panel(const std::vector<GradientFlow>& layers, const Rows& rows, HeatmapOptions options) {
  HeadRows all(0, 0);
  for (std::size_t n = 0; n < layers.size(); ++n) {
    const HeadRows& of_layer = rows(layers[n]);
    if (n > 0 && of_layer.positions != all.positions) {
      throw Error("heed::inspect::gradient_picture: layer " + std::to_string(n) + " has " +
                  std::to_string(of_layer.positions) + " positions, the first " +
                  std::to_string(all.positions));
    }
    all.positions = of_layer.positions;
    all.heads += of_layer.heads;
    all.values.insert(all.values.end(), of_layer.values.begin(), of_layer.values.end());
    for (Index h = 0; h < of_layer.heads; ++h) {
      const std::string layer = layers.size() == 1 ? "" : std::to_string(n) + ".";
      options.row_labels.push_back(layer + std::to_string(h));
    }
  }
  const bool grouped = !layers.empty() && rows(layers[0]).heads != layers[0].weights.heads;
  options.row_name = grouped ? "key head" : "head";
  if (layers.size() != 1) options.row_name = "layer." + options.row_name;
  options.column_name = "position";
  return heatmap(view(all.values.data(), {all.heads, all.positions}), options);
}

}  // namespace gradient_panel

// Weights of the loss's rows and norms of d_q, d_k and d_v, each in a range of its own; layers of a
// model one below the other. Of `options` the colours, column labels and sizes are taken.
// Throws heed::Error where layers have different numbers of positions.
inline Image gradient_picture(const std::vector<GradientFlow>& layers,
                              const HeatmapOptions& options = {},
                              GridOptions grid = {.columns = 2}) {
  const auto panel = [&](const char* title, const auto& rows) {
    HeatmapOptions own = options;
    own.title = title;
    return gradient_panel::panel(layers, rows, own);
  };
  if (grid.title.empty() && !layers.empty()) {
    const Index row = layers.front().row;
    grid.title = "Gradient flow of the sum of " +
                 (row == every_row ? "every row" : "row " + std::to_string(row)) + " of out";
  }
  using Flow = GradientFlow;
  return arrange(
      {panel("weights", [](const Flow& f) -> const HeadRows& { return f.weights; }),
       panel("norm of d_q", [](const Flow& f) -> const HeadRows& { return f.d_q.by_position; }),
       panel("norm of d_k", [](const Flow& f) -> const HeadRows& { return f.d_k.by_position; }),
       panel("norm of d_v", [](const Flow& f) -> const HeadRows& { return f.d_v.by_position; })},
      grid);
}

inline Image gradient_picture(const GradientFlow& flow, const HeatmapOptions& options = {},
                              const GridOptions& grid = {.columns = 2}) {
  return gradient_picture(std::vector<GradientFlow>{flow}, options, grid);
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
