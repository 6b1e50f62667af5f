// Shapes of attention drawn from a seed: the same on every platform.
#pragma once

#include <cstdint>

#include "heed/core/random.hpp"
#include "heed/core/shape.hpp"

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

}  // namespace heed::test
