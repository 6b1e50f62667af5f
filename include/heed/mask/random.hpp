// Each query sees `count` keys drawn at random without replacement, the same for every head.
//
// Row i has its own pseudo-random permutation of the keys and sees those that land in
// [0, count): membership and the list of a row's keys both cost O(1) a key and no memory. The
// permutation is an eight-round Feistel network on the smallest even number of bits that holds Lk
// keys, walked until it lands below Lk (Black and Rogaway, "Ciphers with Arbitrary Finite
// Domains", 2002, section 3), keyed by Philox from the seed and the row. Four rounds are not
// enough: over 100,000 rows of 12 keys, two neighbours came together 24 % too often; with eight, 1
// %, less than the noise.
#pragma once

#include <cstdint>
#include <string>

#include "heed/core/error.hpp"
#include "heed/core/random.hpp"
#include "heed/mask/mask.hpp"

namespace heed::mask {

class RowPermutation {
 public:
  HEED_DEVICE constexpr RowPermutation(std::uint64_t seed, int row, int keys)
      : keys_(static_cast<std::uint32_t>(keys)),
        half_bits_((width_of(keys_ - 1) + 1) / 2),
        round_keys_(philox(seed, {static_cast<std::uint32_t>(row), 0, 0, 0x6d61736bu})) {}

  HEED_DEVICE constexpr int rank_of(int key) const {
    auto x = static_cast<std::uint32_t>(key);
    do x = forward(x);
    while (x >= keys_);
    return static_cast<int>(x);
  }

  HEED_DEVICE constexpr int key_at(int rank) const {
    auto x = static_cast<std::uint32_t>(rank);
    do x = backward(x);
    while (x >= keys_);
    return static_cast<int>(x);
  }

 private:
  static constexpr std::size_t rounds = 8;

  HEED_DEVICE static constexpr int width_of(std::uint32_t x) {
    int bits = 0;
    for (; x != 0; x >>= 1) ++bits;
    return bits;
  }

  HEED_DEVICE constexpr std::uint32_t mix(std::uint32_t half, std::size_t round) const {
    const std::uint32_t key =
        round_keys_[round % 4] + static_cast<std::uint32_t>(round / 4) * 0x9E3779B9u;
    std::uint64_t x = (std::uint64_t{half} ^ key) * 0x9E3779B97F4A7C15u;
    x ^= x >> 29;
    x *= 0xBF58476D1CE4E5B9u;
    return static_cast<std::uint32_t>(x >> 32) & half_mask();
  }
  HEED_DEVICE constexpr std::uint32_t half_mask() const { return (1u << half_bits_) - 1u; }

  HEED_DEVICE constexpr std::uint32_t forward(std::uint32_t x) const {
    std::uint32_t left = x >> half_bits_;
    std::uint32_t right = x & half_mask();
    for (std::size_t round = 0; round < rounds; ++round) {
      const std::uint32_t next = left ^ mix(right, round);
      left = right;
      right = next;
    }
    return (left << half_bits_) | right;
  }
  HEED_DEVICE constexpr std::uint32_t backward(std::uint32_t x) const {
    std::uint32_t left = x >> half_bits_;
    std::uint32_t right = x & half_mask();
    for (std::size_t round = rounds; round-- > 0;) {
      const std::uint32_t previous = right ^ mix(left, round);
      right = left;
      left = previous;
    }
    return (left << half_bits_) | right;
  }

  std::uint32_t keys_;
  int half_bits_;
  Words4 round_keys_;
};

struct BoundRandom {
  int count;
  int keys;
  std::uint64_t seed;

  HEED_DEVICE constexpr bool allows(int i, int j) const {
    return count >= keys || RowPermutation(seed, i, keys).rank_of(j) < count;
  }

  // Exact while listing a row's keys costs less than asking for each key of the tile.
  HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    if (count >= keys) return Coverage::Full;
    const int width = tile.k_end - tile.k_begin;
    if (count > width) return Coverage::Partial;
    bool some = false;
    bool all = count == width;
    for (int i = tile.q_begin; i < tile.q_end && (all || !some); ++i) {
      const int seen = seen_in(i, tile);
      some = some || seen > 0;
      all = all && seen == width;
    }
    if (!some) return Coverage::Empty;
    return all ? Coverage::Full : Coverage::Partial;
  }

  // Lists each row's keys while that costs less than asking for each key of the tile.
  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    const int width = tile.k_end - tile.k_begin;
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      if (count >= keys || count > width) {
        for (int c = 0; c < width; ++c) allowed[c] = allows(i, tile.k_begin + c) ? 1 : 0;
        continue;
      }
      for (int c = 0; c < width; ++c) allowed[c] = 0;
      const RowPermutation permutation(seed, i, keys);
      for (int n = 0; n < count; ++n) {
        const int key = permutation.key_at(n);
        if (key >= tile.k_begin && key < tile.k_end) allowed[key - tile.k_begin] = 1;
      }
    }
  }

 private:
  HEED_DEVICE constexpr int seen_in(int row, Tile tile) const {
    const RowPermutation permutation(seed, row, keys);
    int seen = 0;
    for (int n = 0; n < count; ++n) {
      const int key = permutation.key_at(n);
      seen += key >= tile.k_begin && key < tile.k_end ? 1 : 0;
    }
    return seen;
  }
};

struct Random {
  int count;
  std::uint64_t seed;

  HEED_DEVICE constexpr BoundRandom bind(const Shape& shape, Index, Index) const {
    return {count, static_cast<int>(shape.Lk), seed};
  }
};

inline namespace HEED_ABI {

// Throws heed::Error for a negative count.
inline Random random(int count, std::uint64_t seed = 0) {
  if (count < 0) {
    throw Error("heed::mask::random: count " + std::to_string(count) + " is negative");
  }
  return {count, seed};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
