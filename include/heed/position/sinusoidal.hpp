// Fixed waves that tell positions apart, each pair of dimensions at its own frequency.
// Vaswani et al., "Attention Is All You Need" (2017), section 3.5.
#pragma once

#include <cmath>

#include "heed/core/check.hpp"
#include "heed/core/eigen.hpp"

namespace heed::position {

inline namespace HEED_ABI {

// Element d of the encoding of a position: sin(p·f) for even d, cos(p·f) for odd d, where
// f = base^(−2·floor(d / 2) / D).
inline double sinusoid(Index position, Index d, Index D, double base = 10000) {
  const double exponent = -2.0 * static_cast<double>(d / 2) / static_cast<double>(D);
  const double angle = static_cast<double>(position) * std::pow(base, exponent);
  return d % 2 == 0 ? std::sin(angle) : std::cos(angle);
}

// The encodings of positions offset … offset + L − 1.
//
//   returns  [L, D]  in [−1, 1]; any D ≥ 1, an odd one ends with a sine
//
// Throws heed::Error for L < 0 or D < 1. Angles in double. Time O(L·D), no limit on positions.
template <class T = float>
Tensor2<T> sinusoidal(Index L, Index D, Index offset = 0, double base = 10000) {
  if (L < 0 || D < 1) {
    throw Error("heed::position::sinusoidal: " + std::to_string(L) + " positions of dim " +
                std::to_string(D));
  }
  auto encodings = make_tensor<T, 2, Eigen::RowMajor>({L, D});
  for (Index i = 0; i < L; ++i) {
    for (Index d = 0; d < D; ++d) {
      encodings(i, d) = static_cast<T>(sinusoid(offset + i, d, D, base));
    }
  }
  return encodings;
}

}  // namespace HEED_ABI
}  // namespace heed::position
