// The classifier to beat: words are counted, their order is not seen.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace sentences {

// Naive Bayes over ids of words: p(class) · Π p(word | class), p(word | class) being (n + 1) over
// the sum of the class. Manning, Raghavan, Schütze, "Introduction to Information Retrieval" (2008),
// section 13.2.
class Counting {
 public:
  explicit Counting(std::size_t vocabulary) {
    for (auto& counts : counts_) counts.assign(vocabulary, 1.0);
  }

  void learn(std::span<const int> ids, int label) {
    const auto of = static_cast<std::size_t>(label);
    ++texts_[of];
    for (const int id : ids) ++counts_[of][static_cast<std::size_t>(id)];
  }

  // The class of a text: 0 or 1.
  int answer(std::span<const int> ids) const { return score(ids, 1) > score(ids, 0) ? 1 : 0; }

 private:
  double score(std::span<const int> ids, std::size_t of) const {
    double sum = 0;
    for (const double n : counts_[of]) sum += n;
    double score = std::log(texts_[of]);
    for (const int id : ids) score += std::log(counts_[of][static_cast<std::size_t>(id)] / sum);
    return score;
  }

  std::array<double, 2> texts_{1, 1};
  std::array<std::vector<double>, 2> counts_;  // of each word in texts of each class, plus one
};

}  // namespace sentences
