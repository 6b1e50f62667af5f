// Gradients of one word's output, and how they vanish without the scale.
#include <heed/heed.hpp>
#include <heed/inspect.hpp>
#include <iostream>

#include "tour.hpp"

// The output of "on" in the cat sentence under a causal mask, in three heads that read its eight
// dimensions alike but in sizes 1, 3 and 9: the softmax of the last is peaked.
void tour::gradients(const std::filesystem::path& folder) {
  headline("Where gradients go");
  namespace inspect = heed::inspect;
  const auto& [tokens, embeddings] = cat_sentence();
  const heed::Index count = embeddings.rows(), dims = embeddings.cols(), heads = 3, on = 3;
  heed::Tensor4<float> q(1, heads, count, dims), k(1, heads, count, dims);
  float size = 1;
  for (heed::Index h = 0; h < heads; ++h, size *= 3) {
    for (heed::Index i = 0; i < count; ++i) {
      for (heed::Index d = 0; d < dims; ++d) {
        k(0, h, i, d) = embeddings(i, d);
        q(0, h, i, d) = size * embeddings(i, d);
      }
    }
  }
  const auto flow = inspect::gradient_flow(q, k, k, on, heed::mask::causal());
  std::cout << flow;
  const auto unscaled = inspect::gradient_flow(q, k, k, on, heed::mask::causal(), {}, {.scale = 9});
  std::cout << "\nThe same call with scale 9:\n";
  for (const auto& finding : unscaled.findings) std::cout << "  - " << finding << '\n';
  const auto file = folder / "gradient_flow.png";
  inspect::write_png(file, inspect::gradient_picture(flow, {.column_labels = tokens}));
  saved(file);
}
