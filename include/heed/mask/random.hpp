// Each query sees `count` keys drawn at random without replacement, the same for every head.
//
// Up to 16 keys are drawn one after the other, a key that was drawn before is drawn anew: a list
// that costs a few dozen operations. Of more, row i has its own pseudo-random permutation of the
// keys and sees those that land in [0, count): membership and the list both cost O(1) a key and no
// memory. The permutation is an eight-round Feistel network on the smallest even number of bits
// that holds Lk keys, walked until it lands below Lk (Black and Rogaway, "Ciphers with Arbitrary
// Finite Domains", 2002, section 3), keyed by Philox from the seed and the row. Four rounds are not
// enough: over 100,000 rows of 12 keys, two neighbours came together 24 % too often; with eight, 1
// %, less than the noise.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "heed/core/error.hpp"
#include "heed/core/random.hpp"
#include "heed/mask/cells.hpp"
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

// The first few different keys of a row's stream of random numbers.
class RowDraw {
 public:
  static constexpr int most = 16;

  HEED_DEVICE constexpr RowDraw(std::uint64_t seed, int row, int count, int keys) {
    Words4 words{};
    for (std::uint32_t n = 0; size_ < count; ++n) {
      if (n % 4 == 0) {
        words = philox(seed, {static_cast<std::uint32_t>(row), n / 4, 0, 0x64726177u});
      }
      const std::uint64_t wide = std::uint64_t{words[n % 4]} * static_cast<std::uint32_t>(keys);
      const auto key = static_cast<int>(wide >> 32);
      if (!has(key)) keys_[size_++] = key;
    }
  }

  HEED_DEVICE constexpr bool has(int key) const {
    int found = 0;
    for (int n = 0; n < size_; ++n) found |= keys_[n] == key ? 1 : 0;
    return found != 0;
  }
  HEED_DEVICE constexpr int key_at(int n) const { return keys_[n]; }

 private:
  int size_ = 0;
  int keys_[most];  // the first size_ of them
};

struct BoundRandom {
  int count;
  int keys;
  std::uint64_t seed;

  HEED_DEVICE constexpr bool allows(int i, int j) const {
    if (count >= keys) return true;
    return drawn() ? RowDraw(seed, i, count, keys).has(j)
                   : RowPermutation(seed, i, keys).rank_of(j) < count;
  }

  // Exact while listing a row's keys costs less than asking for each key of the tile.
  HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    if (count >= keys) return Coverage::Full;
    const int width = tile.k_end - tile.k_begin;
    if (count > width && !drawn()) return Coverage::Partial;
    bool some = false;
    bool all = count >= width;
    for (int i = tile.q_begin; i < tile.q_end && (all || !some); ++i) {
      int seen = 0;
      for_each_key(i, tile, [&](int) { ++seen; });
      some = some || seen > 0;
      all = all && seen == width;
    }
    if (!some) return Coverage::Empty;
    return all ? Coverage::Full : Coverage::Partial;
  }

  // Lists each row's keys once for all its cells, unless hardly a cell would be left Empty.
  void cover(const Cells& cells, std::uint8_t* found, Index stride) const {
    const bool most = Index{count} * cells.height > Index{4} * (keys / cells.width);
    const auto start = static_cast<std::uint8_t>(count >= keys ? Coverage::Full
                                                 : most        ? Coverage::Partial
                                                               : Coverage::Empty);
    for (int r = 0; r < cells.rows(); ++r, found += stride) {
      std::fill_n(found, cells.columns(), start);
      if (start != 0) continue;
      const Tile row = cells.of_rows(r, r + 1).tile();
      for (int i = row.q_begin; i < row.q_end; ++i) {
        for_each_key(i, row, [&](int key) {
          found[(key - row.k_begin) / cells.width] = static_cast<std::uint8_t>(Coverage::Partial);
        });
      }
    }
  }

  // Lists each row's keys while that costs less than asking for each key of the tile.
  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    const int width = tile.k_end - tile.k_begin;
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      if (count >= keys || (count > width && !drawn())) {
        for (int c = 0; c < width; ++c) allowed[c] = allows(i, tile.k_begin + c) ? 1 : 0;
        continue;
      }
      for (int c = 0; c < width; ++c) allowed[c] = 0;
      for_each_key(i, tile, [&](int key) { allowed[key - tile.k_begin] = 1; });
    }
  }

 private:
  // So few of many that hardly one is drawn twice.
  HEED_DEVICE constexpr bool drawn() const { return count <= RowDraw::most && count <= keys / 4; }
  // f(key) for each key of the row that lies in the tile.
  template <class F>
  HEED_DEVICE constexpr void for_each_key(int row, Tile tile, F&& f) const {
    const auto offer = [&](int key) {
      if (key >= tile.k_begin && key < tile.k_end) f(key);
    };
    if (drawn()) {
      const RowDraw draw(seed, row, count, keys);
      for (int n = 0; n < count; ++n) offer(draw.key_at(n));
    } else {
      const RowPermutation permutation(seed, row, keys);
      for (int n = 0; n < count; ++n) offer(permutation.key_at(n));
    }
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
