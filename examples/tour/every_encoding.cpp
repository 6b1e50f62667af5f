// Every way heed has to say where a token stands, in one picture.
#include <cmath>
#include <cstdio>
#include <heed/heed.hpp>
#include <heed/inspect.hpp>
#include <string>
#include <vector>

#include "tour.hpp"

namespace {

namespace inspect = heed::inspect;
namespace position = heed::position;
namespace score = heed::score;
using heed::Index;

constexpr Index tokens = 64, features = 32, heads = 8;

inspect::Image picture(const Eigen::MatrixXf& matrix, const std::string& title,
                       const char* rows = "query", const char* columns = "key") {
  std::printf("  %-32s %6.2f ... %.2f\n", title.c_str(), static_cast<double>(matrix.minCoeff()),
              static_cast<double>(matrix.maxCoeff()));
  const bool penalty = matrix.maxCoeff() <= 0;
  return inspect::heatmap(matrix, {.title = title,
                                   .row_name = rows,
                                   .column_name = columns,
                                   .colors = penalty ? inspect::reds() : inspect::red_blue(),
                                   .square_cells = false,
                                   .plot_size = 192});
}

// The cosine of the angle by which each pair of features turns, [pairs, tokens].
Eigen::MatrixXf angles(const position::RopeScaling& scaling) {
  const auto frequencies = position::rope_frequencies(features, 10'000, scaling);
  Eigen::MatrixXf cosines(features / 2, tokens);
  for (Index n = 0; n < features / 2; ++n) {
    for (Index p = 0; p < tokens; ++p) {
      const double step = frequencies.step[static_cast<std::size_t>(n)];
      cosines(n, p) = static_cast<float>(std::cos(step * static_cast<double>(p)));
    }
  }
  return cosines;
}

// The part of position alone: q·k of tokens that are all equal, over the number of features.
Eigen::MatrixXf products(const Eigen::MatrixXf& turned) {
  return turned * turned.transpose() / static_cast<float>(features);
}

template <class S>
Eigen::MatrixXf bias(const S& bias, Index head = 0) {
  const heed::Shape shape{
      .B = 1, .Hq = heads, .Hkv = heads, .Lq = tokens, .Lk = tokens, .D = features, .Dv = features};
  const auto matrix = inspect::score_matrix(bias, shape, 0, head);  // [tokens, tokens], row by row
  return Eigen::MatrixXf::NullaryExpr(tokens, tokens,
                                      [&](Index i, Index j) { return matrix(i, j); });
}

}  // namespace

void tour::every_encoding(const std::filesystem::path& folder) {
  headline("Every position encoding, over 64 tokens");
  const Eigen::MatrixXf equal = Eigen::MatrixXf::Ones(tokens, features);
  const auto wave = position::sinusoidal(tokens, features);  // [tokens, features], row by row
  // Drawn as the papers do, a row a dimension: the same memory, column by column.
  const Eigen::MatrixXf sinusoidal =
      Eigen::Map<const Eigen::MatrixXf>(wave.data(), features, tokens);
  const auto slopes = score::alibi_slopes(heads);
  heed::Tensor2<float> distances(1, 17), buckets(1, 32);  // of a relative score, of T5's
  for (int n = 0; n < 17; ++n) distances(0, n) = static_cast<float>(1 - std::abs(n - 8) / 4.0);
  for (int n = 0; n < 32; ++n) buckets(0, n) = static_cast<float>(n % 16) * (n < 16 ? 1.F : -1.F);
  const auto t5 = score::t5_table(buckets);
  const std::vector<inspect::Image> pictures{
      picture(sinusoidal, "Sinusoidal", "dimension", "position"),
      picture(angles({}), "RoPE, cosine of angle", "pair", "position"),
      picture(angles(position::yarn(4, 16)), "RoPE by YaRN, 16 to 64", "pair", "position"),
      picture(products(position::rope(equal)), "RoPE, equal q and k"),
      picture(products(position::rope_2d(equal, position::grid(8, 8))), "RoPE on an 8 x 8 grid"),
      picture(bias(score::alibi(slopes), 0), "ALiBi, first of 8 heads"),
      picture(bias(score::alibi(slopes), 7), "ALiBi, last of 8 heads"),
      picture(bias(score::relative(distances)), "Relative, 8 each side"),
      picture(bias(score::relative(t5)), "T5, bucket by distance")};
  const auto file = folder / "every_encoding.png";
  inspect::write_png(file, inspect::arrange(pictures, {.columns = 3}));
  saved(file);
}
