// Pictures of masks, positions and heads.
#include <cmath>
#include <cstdio>
#include <heed/heed.hpp>
#include <heed/inspect.hpp>
#include <iostream>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "tour.hpp"

namespace {

namespace inspect = heed::inspect;
namespace mask = heed::mask;

// Standard normal numbers, the same on every machine: mt19937's stream is fixed by the standard,
// std::normal_distribution's is not.
class Normal {
 public:
  explicit Normal(std::uint32_t seed) : engine_(seed) {}

  float operator()() {
    const double u = (static_cast<double>(engine_()) + 1) / 4294967297.0;
    const double angle = 2 * std::numbers::pi * static_cast<double>(engine_()) / 4294967296.0;
    return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(angle));
  }

  Eigen::MatrixXf matrix(int rows, int columns, float size = 1) {
    Eigen::MatrixXf x(rows, columns);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) x(i, j) = size * (*this)();
    }
    return x;
  }

 private:
  std::mt19937 engine_;
};

heed::Shape tokens_by_tokens(int tokens, int heads) {
  heed::Shape shape;
  shape.B = 1;
  shape.Hq = shape.Hkv = heads;
  shape.Lq = shape.Lk = tokens;
  return shape;
}

}  // namespace

void tour::mask_pictures(const std::filesystem::path& folder) {
  headline("Masks over 64 tokens");
  const heed::Shape shape = tokens_by_tokens(64, 1);
  std::vector<heed::Tensor2<float>> matrices;
  std::vector<std::string> titles;
  const auto add = [&](const std::string& name, const auto& pattern) {
    matrices.push_back(inspect::mask_matrix(pattern, shape));
    int ones = 0;
    for (int i = 0; i < 64 * 64; ++i) ones += matrices.back().data()[i] > 0 ? 1 : 0;
    std::printf("  %-22s %4d ones of 4096\n", name.c_str(), ones);
    titles.push_back(name + ": " + std::to_string(ones) + " pairs");
  };
  add("Local, window 16", mask::local(16));
  add("Strided, stride 8", mask::strided(8));
  add("Causal", mask::causal());
  add("BigBird 16/2/3", mask::bigbird(16, 2, 3, 42));
  const auto file = folder / "attention_masks.png";
  inspect::write_png(file,
                     inspect::heatmap_grid(matrices, titles,
                                           {.range = inspect::Range{0, 1.25}, .color_bar = false},
                                           {.columns = 2}));
  saved(file);
}

void tour::position_pictures(const std::filesystem::path& folder) {
  headline("Positions");
  constexpr int positions = 100, dimensions = 64, heads = 8;
  const std::vector<float> slopes = heed::score::alibi_slopes(heads);
  const heed::Shape shape = tokens_by_tokens(positions, heads);
  Eigen::MatrixXf first(positions, positions), mean(positions, positions);
  mean.setZero();
  for (int h = 0; h < heads; ++h) {
    const auto bias = inspect::score_matrix(heed::score::alibi(slopes), shape, 0, h);
    for (int i = 0; i < positions; ++i) {
      for (int j = 0; j < positions; ++j) {
        if (h == 0) first(i, j) = bias(i, j);
        mean(i, j) += bias(i, j) / heads;
      }
    }
  }
  std::printf("  ALiBi slopes of %d heads: %g ... %g\n", heads, static_cast<double>(slopes.front()),
              static_cast<double>(slopes.back()));
  const auto by_position = heed::position::sinusoidal(positions, dimensions);
  const auto encodings = heed::view_of(by_position);
  // Drawn as the papers do, a row a dimension: the same memory with its strides exchanged.
  const auto sinusoidal = heed::view(encodings.data, {dimensions, positions}, {1, dimensions});
  const auto picture = [](const auto& matrix, const char* title, const char* rows,
                          const char* columns, const inspect::Colormap& colors) {
    return inspect::heatmap(matrix, {.title = title,
                                     .row_name = rows,
                                     .column_name = columns,
                                     .colors = colors,
                                     .square_cells = false});
  };
  const auto file = folder / "position_encodings.png";
  inspect::write_png(
      file, inspect::arrange(
                {picture(sinusoidal, "Sinusoidal", "dimension", "position", inspect::red_blue()),
                 picture(first, "ALiBi, head 0", "query", "key", inspect::reds()),
                 picture(mean, "ALiBi, mean of 8 heads", "query", "key", inspect::reds())},
                {.columns = 3}));
  saved(file);
}

// An untrained layer of 8 heads: each head projects the same ten tokens with its own weights.
void tour::head_pictures(const std::filesystem::path& folder) {
  headline("Eight heads, untrained");
  const std::vector<std::string> tokens{"The", "cat", "sat",  "on",   "the",
                                        "mat", "and", "then", "left", "."};
  constexpr int heads = 8, model = 64, head_size = model / heads;
  Normal normal(42);
  const Eigen::MatrixXf x = normal.matrix(10, model);
  std::vector<heed::Tensor2<float>> weights;
  for (int h = 0; h < heads; ++h) {
    const float size = 1 / std::sqrt(static_cast<float>(model));
    const Eigen::MatrixXf q = x * normal.matrix(model, head_size, size);
    const Eigen::MatrixXf k = x * normal.matrix(model, head_size, size);
    weights.push_back(heed::reference::attention(q, k, k).weights);
    std::printf("  head %d: %s\n", h, inspect::describe(weights.back()).text.c_str());
  }
  const auto file = folder / "attention_heads.png";
  inspect::write_png(
      file, inspect::heatmap_grid(weights, inspect::head_titles(heads),
                                  {.row_labels = tokens, .column_labels = tokens, .plot_size = 250},
                                  {.columns = 4}));
  saved(file);
}

void tour::compare_pictures(const std::filesystem::path& folder) {
  headline("With and without a causal mask");
  const std::vector<std::string> tokens{"T0", "T1", "T2", "T3"};
  const Eigen::MatrixXf x = Normal(7).matrix(4, 8);
  const auto open = heed::reference::attention(x, x, x).weights;
  const auto causal = heed::reference::attention(x, x, x, mask::causal()).weights;
  std::cout << "  no mask: " << inspect::describe(open).text
            << "\n  causal mask: " << inspect::describe(causal).text << '\n';
  const auto file = folder / "compare_attention_patterns.png";
  inspect::write_png(file,
                     inspect::compare_patterns(x, x,
                                               {{"No mask (bidirectional)", mask::None{}},
                                                {"Causal mask (autoregressive)", mask::causal()}},
                                               {.heatmap = {.row_labels = tokens,
                                                            .column_labels = tokens,
                                                            .range = inspect::Range{0, 1},
                                                            .values = true,
                                                            .plot_size = 340}}));
  saved(file);
}
