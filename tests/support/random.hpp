// Random numbers of tests, from a counter: the same for every type and platform.
#pragma once

#include <cstdint>

#include "heed/core/eigen.hpp"
#include "heed/core/random.hpp"

namespace heed::test {

// Number n of stream `seed`, uniform in [−1, 1).
inline double uniform(std::uint64_t seed, Index n) {
  const auto counter = static_cast<std::uint64_t>(n);
  const Words4 words = philox(
      seed, {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 7});
  return words[0] / 2147483648.0 - 1.0;
}

// Fills an Eigen tensor or matrix.
template <class X>
X& randomise(X& x, std::uint64_t seed) {
  using T = typename X::Scalar;
  for (Index n = 0; n < x.size(); ++n) x.data()[n] = static_cast<T>(uniform(seed, n));
  return x;
}

template <class T>
Tensor4<T> random4(Index B, Index H, Index L, Index D, std::uint64_t seed = 5) {
  Tensor4<T> x(B, H, L, D);
  return randomise(x, seed);
}

}  // namespace heed::test
