// Counter-based random numbers: the same bits on every path, thread and device.
//
// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC11), section 3.3.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "heed/core/abi.hpp"
#include "heed/core/device.hpp"

namespace heed {

struct Words4 {
  std::uint32_t word[4];

  HEED_DEVICE constexpr std::uint32_t operator[](std::size_t n) const { return word[n]; }
  bool operator==(const Words4&) const = default;
};

inline namespace HEED_ABI {

// Ten rounds on a 128-bit counter under a 64-bit key.
HEED_DEVICE constexpr Words4 philox(std::uint64_t key, Words4 counter) {
  std::uint32_t key0 = static_cast<std::uint32_t>(key);
  std::uint32_t key1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0,
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1,
               static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The first two words as one number.
HEED_DEVICE constexpr std::uint64_t low_half(const Words4& words) {
  return std::uint64_t{words[1]} << 32 | words[0];
}

}  // namespace HEED_ABI

// Dropout of attention weights: weight (b, h, i, j) is kept iff word j mod 4 of
// philox(seed, (j / 4, i, h, b)) is at least floor(p·2³²); kept weights are scaled by 1/(1 − p).
struct Dropout {
  std::uint64_t seed = 0;
  std::uint64_t threshold = 0;
  double keep_scale = 1;
  std::uint32_t step = 1;  // of a call on every step-th key: its key j is that of step · j

  static Dropout of(double p, std::uint64_t seed) {
    return {seed, static_cast<std::uint64_t>(std::floor(p * 4294967296.0)),
            p < 1 ? 1 / (1 - p) : 0.0, 1};
  }

  // Below 2⁻³² nothing is dropped, but the weights are scaled all the same.
  HEED_DEVICE constexpr bool active() const { return keep_scale != 1; }

  HEED_DEVICE constexpr bool keeps(std::uint32_t b, std::uint32_t h, std::uint32_t i,
                                   std::uint32_t j) const {
    const std::uint32_t key = j * step;
    return philox(seed, {key / 4, i, h, b})[key % 4] >= threshold;
  }
};

}  // namespace heed
