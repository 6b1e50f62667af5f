// The derivative of a score against central differences.
#pragma once

#include <cmath>

#include "heed/score/score.hpp"

namespace heed::test {

// |derivative − (value(s + δ) − value(s − δ)) / 2δ| in double, relative to 1.
template <score::DifferentiableScore S>
double derivative_error(const S& score, double s, int i, int j) {
  const double delta = 1e-5 * (1 + std::abs(s));
  const double slope = (score.value(s + delta, i, j) - score.value(s - delta, i, j)) / (2 * delta);
  return std::abs(score.derivative(s, i, j) - slope);
}

}  // namespace heed::test
