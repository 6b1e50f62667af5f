// Attention on attention: what a stack of layers makes of one sentence, as an animation.
#include <heed/heed.hpp>
#include <heed/inspect.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "tour.hpp"

// Each layer attends to what the layer below made, with nothing between them: no feed-forward, no
// skip connection. Each token becomes a mean of the others, so layer by layer they grow alike and
// the weights even out: Dong et al., "Attention is not all you need" (2021). With the usual scale
// these small embeddings would be there after two layers.
void tour::layers(const std::filesystem::path& folder) {
  headline("The same sentence, layer by layer");
  namespace inspect = heed::inspect;
  const auto& [tokens, embeddings] = cat_sentence();
  constexpr int layers = 6;
  Eigen::MatrixXf x = embeddings;
  std::vector<heed::Tensor2<float>> weights;
  std::vector<std::string> titles;
  for (int layer = 1; layer <= layers; ++layer) {
    const auto textbook = heed::reference::attention(x, x, x, {}, {}, {.scale = 1.5});
    x = textbook.out;
    weights.emplace_back(textbook.weights);
    titles.push_back("Layer " + std::to_string(layer) + " of " + std::to_string(layers));
    std::cout << "  layer " << layer << ": " << inspect::describe(textbook.weights).text << '\n';
  }
  const auto file = folder / "layers.png";
  inspect::write_apng(file, inspect::heatmap_frames(weights, titles,
                                                    {.row_labels = tokens,
                                                     .column_labels = tokens,
                                                     .range = inspect::Range{0, 1},
                                                     .values = true}));
  saved(file);
}
