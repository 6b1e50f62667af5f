// "the cat sat on the mat" with embeddings made by hand, and three tokens small enough for paper.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <heed/heed.hpp>
#include <heed/inspect.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "tour.hpp"

namespace {

namespace inspect = heed::inspect;

template <class Matrix>
void print_row(const char* name, const Matrix& matrix, int row, int columns) {
  std::printf("  %-10s", name);
  for (int j = 0; j < columns; ++j) std::printf(" %8.6f", static_cast<double>(matrix(row, j)));
  std::printf("\n");
}

void write_highlight(const std::filesystem::path& folder, const std::vector<std::string>& tokens,
                     const std::vector<float>& weights) {
  const std::string page = inspect::highlight_html(
      tokens, weights, {.percent = true, .title = "What \"sat\" attends to"});
  const auto file = folder / "sentence.html";
  if (!(std::ofstream(file) << page << std::flush)) {
    throw heed::Error("cannot write '" + file.string() + "'");
  }
  tour::saved(file);
}

}  // namespace

// One row a token: noun, verb, article, preposition, rhymes with cat, a thing, small word, past.
const tour::Sentence& tour::cat_sentence() {
  static const Sentence sentence = [] {
    Eigen::MatrixXf x(6, 8);
    x << 0, 0, 1, 0, 0, 0, 1, 0,    // the
        1, 0, 0, 0, 1, 1, 0, 0,     // cat
        0, 1, 0, 0, 1, 0, 0, 1,     // sat
        0, 0, 0, 1, 0, 0, 0.5F, 0,  // on
        0, 0, 1, 0, 0, 0, 1, 0,     // the
        1, 0, 0, 0, 1, 1, 0, 0;     // mat
    return Sentence{{"the", "cat", "sat", "on", "the", "mat"}, x};
  }();
  return sentence;
}

// The numbers as a person gets them on paper, rounding at each step, beside the exact ones.
void tour::hand_computed_case() {
  headline("Three tokens by hand");
  Eigen::Matrix<double, 3, 4> x;
  x << 1, 0, 1, 0, 0, 1, 0, 1, 1, 1, 0, 0;
  const auto t = heed::reference::attention(x, x, x);
  const auto fused = heed::attention(x, x, x);
  std::printf("q = k = v = [[1,0,1,0],[0,1,0,1],[1,1,0,0]], first row:\n");
  std::printf("  %-10s 0.5066   0.1863   0.3071\n", "by hand");
  print_row("weights", t.weights, 0, 3);
  std::printf("  %-10s 0.8137   0.4934   0.5066   0.1863\n", "by hand");
  print_row("output", t.out, 0, 4);
  print_row("fused", fused.out, 0, 4);
}

void tour::sentence(const std::filesystem::path& folder) {
  headline("The cat sat on the mat");
  const auto& [tokens, x] = cat_sentence();
  const auto t = heed::reference::attention(x, x, x);
  for (const auto& row : inspect::attends_most(t.weights)) {
    std::cout << inspect::attends_text(row, tokens) << '\n';
  }
  std::cout << "pattern of the weights: " << inspect::describe(t.weights).text << '\n';

  std::vector<float> of_sat(6);
  for (int j = 0; j < 6; ++j) of_sat[static_cast<std::size_t>(j)] = t.weights(2, j);
  const bool in_terminal = isatty(STDOUT_FILENO) == 1;
  if (in_terminal) {
    std::cout << "what 'sat' attends to: "
              << inspect::highlight_ansi(tokens, of_sat, {.percent = true}) << '\n';
  }
  const auto file = folder / "sentence.png";
  inspect::write_png(file, inspect::heatmap(t.weights, {.title = "the cat sat on the mat",
                                                        .row_labels = tokens,
                                                        .column_labels = tokens,
                                                        .values = true}));
  saved(file);
  write_highlight(folder, tokens, of_sat);
}
