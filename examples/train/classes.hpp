// Answers of a classifier: right or wrong, and which classes it confuses.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/plot.hpp"

namespace learn {

// The class with the highest of each row's logits [rows, 1, classes] or [rows, classes].
template <class Logits>
std::vector<int> answers(const Logits& logits) {
  const auto rows = static_cast<std::size_t>(logits.dimension(0));
  const std::size_t classes = rows == 0 ? 0 : static_cast<std::size_t>(logits.size()) / rows;
  std::vector<int> answers;
  for (const float* row = logits.data(); answers.size() < rows; row += classes) {
    answers.push_back(static_cast<int>(std::max_element(row, row + classes) - row));
  }
  return answers;
}

inline double percent_right(const std::vector<int>& answers, const std::vector<int>& labels) {
  double right = 0;
  for (std::size_t n = 0; n < labels.size(); ++n) right += answers[n] == labels[n] ? 100 : 0;
  return right / static_cast<double>(labels.size());
}

// Row: the class; column: the answer; a cell: the share of the class that got it.
inline heed::plot::Image confusion_matrix(const std::vector<int>& answers,
                                          const std::vector<int>& labels,
                                          const std::vector<std::string>& names,
                                          const std::string& title) {
  const auto classes = static_cast<Eigen::Index>(names.size());
  Eigen::MatrixXd shares = Eigen::MatrixXd::Zero(classes, classes);
  for (std::size_t n = 0; n < labels.size(); ++n) shares(labels[n], answers[n]) += 1;
  for (Eigen::Index row = 0; row < classes; ++row) {
    const auto of_class = std::count(labels.begin(), labels.end(), static_cast<int>(row));
    shares.row(row) /= std::max(1.0, static_cast<double>(of_class));
  }
  return heed::plot::heatmap(shares, {.title = title,
                                      .row_labels = names,
                                      .column_labels = names,
                                      .row_name = "class",
                                      .column_name = "answer",
                                      .range = heed::plot::Range{0, 1},
                                      .values = true,
                                      .plot_size = 280});
}

}  // namespace learn
