// The cosine of two vectors.
#pragma once

#include <cmath>
#include <functional>
#include <numeric>
#include <span>

namespace heed::models::minilm {

// The sum of products in double: 384 products of floats, added in float, are off by up to 1e-6.
inline double dot(std::span<const float> a, std::span<const float> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0, std::plus<>(),
                            [](float x, float y) { return double{x} * double{y}; });
}

// The cosine of the angle between two vectors of these lengths, exactly 1 for a vector with itself
// whatever a float has rounded off its length; 0 where a length is 0.
inline double cosine(std::span<const float> a, double a_length, std::span<const float> b,
                     double b_length) {
  const double lengths = a_length * b_length;
  return lengths > 0 ? dot(a, b) / lengths : 0;
}

inline double length_of(std::span<const float> a) { return std::sqrt(dot(a, a)); }

}  // namespace heed::models::minilm
