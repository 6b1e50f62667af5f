// Normal random numbers from a counter.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

#include "heed/core/abi.hpp"
#include "heed/core/random.hpp"
#include "heed/core/types.hpp"

namespace heed {
inline namespace HEED_ABI {

// Number `index` of stream `stream`, standard normal: philox(seed, (index, stream)), whose words 0
// and 1 go through Box and Muller's transform. "A note on the generation of random normal deviates"
// (1958).
inline double gaussian(std::uint64_t seed, Index index, std::uint32_t stream) {
  constexpr double unit = 1.0 / 4294967296.0;
  const auto at = static_cast<std::uint64_t>(index);
  const Words4 words = philox(
      seed, {static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(at >> 32), stream, 0x61u});
  const double radius = std::sqrt(-2 * std::log((words[0] + 0.5) * unit));
  return radius * std::cos(2 * std::numbers::pi * (words[1] + 0.5) * unit);
}

}  // namespace HEED_ABI
}  // namespace heed
