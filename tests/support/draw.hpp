// Shapes of attention drawn from a seed: the same on every platform.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "heed/core/random.hpp"
#include "heed/core/shape.hpp"
#include "support/random.hpp"

namespace heed::test {

inline constexpr Index sizes[] = {1, 2, 17, 63, 64, 65, 97, 130};
inline constexpr Index dims[] = {1, 8, 20, 33, 64};

// The n-th draw of a number below `count`.
inline Index draw(std::uint64_t seed, std::uint32_t n, Index count) {
  return static_cast<Index>(philox(seed, {n, 0, 0, 0})[0] % static_cast<std::uint64_t>(count));
}

inline Shape draw_shape(std::uint64_t seed) {
  const Index Hkv = 1 + draw(seed, 0, 2);
  return {1 + draw(seed, 1, 2),
          Hkv * (1 + draw(seed, 2, 3)),
          Hkv,
          sizes[draw(seed, 3, 8)],
          sizes[draw(seed, 4, 8)],
          dims[draw(seed, 5, 5)],
          dims[draw(seed, 6, 5)],
          4};
}

// A sink a query head, in [−6, 6); that of every fourth head is none.
inline std::vector<float> draw_sinks(const Shape& shape, std::uint64_t seed) {
  std::vector<float> sinks;
  for (Index h = 0; h < shape.Hq; ++h) {
    const double x = 6 * uniform(seed + 5, h);
    sinks.push_back(h % 4 == 3 ? -std::numeric_limits<float>::infinity() : static_cast<float>(x));
  }
  return sinks;
}

}  // namespace heed::test
