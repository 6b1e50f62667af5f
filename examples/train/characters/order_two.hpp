// The model to beat: the next character from the two before it, by counting.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace characters {

// p(c | a b) = (n(a b c) + t(a b) · p(c | b)) / (n(a b) + t(a b)), t being the number of characters
// that were seen after a b; likewise p(c | b) from p(c), and p(c) from 1 / size. Witten and Bell,
// "The zero-frequency problem" (1991), method C, interpolated.
class OrderTwo {
 public:
  OrderTwo(std::span<const int> text, int alphabet)
      : size_(static_cast<std::size_t>(alphabet)), p_(size_ * size_ * size_) {
    std::vector<double> one(size_), pairs(size_ * size_);
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::size_t c = at(text, i);
      ++one[c];
      if (i >= 1) ++pairs[at(text, i - 1) * size_ + c];
      if (i >= 2) ++p_[(at(text, i - 2) * size_ + at(text, i - 1)) * size_ + c];
    }
    smooth(one, std::vector<double>(size_, 1 / static_cast<double>(size_)));
    for (std::size_t b = 0; b < size_; ++b) smooth(row(pairs, b), one);
    for (std::size_t ab = 0; ab < size_ * size_; ++ab) smooth(row(p_, ab), row(pairs, ab % size_));
  }

  // Bits that character i of a text costs, i >= 2.
  double bits(std::span<const int> text, std::size_t i) const {
    const std::size_t ab = at(text, i - 2) * size_ + at(text, i - 1);
    return -std::log2(p_[ab * size_ + at(text, i)]);
  }

 private:
  static std::size_t at(std::span<const int> text, std::size_t i) {
    return static_cast<std::size_t>(text[i]);
  }
  std::span<double> row(std::vector<double>& table, std::size_t context) const {
    return std::span(table).subspan(context * size_, size_);
  }

  // Counts of one context become probabilities.
  static void smooth(std::span<double> counts, std::span<const double> shorter) {
    double sum = 0, types = 0;
    for (const double n : counts) sum += n, types += n > 0 ? 1 : 0;
    for (std::size_t c = 0; c < counts.size(); ++c) {
      counts[c] = sum == 0 ? shorter[c] : (counts[c] + types * shorter[c]) / (sum + types);
    }
  }

  std::size_t size_;
  std::vector<double> p_;  // [a, b, c]: counts, then p(c | a b)
};

}  // namespace characters
