// The keys that a row sees at random, by the row's number alone: the same on every path and device.
#pragma once

#include <cstdint>

#include "heed/core/random.hpp"

namespace heed::mask {
inline namespace HEED_ABI {

// A pseudo-random permutation of the keys, of which a row sees those that land in [0, count): an
// eight-round Feistel network on the smallest even number of bits that holds Lk keys, walked until
// it lands below Lk (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002, section 3),
// keyed by Philox from the seed and the row. Four rounds are not enough: over 100,000 rows of 12
// keys, two neighbours came together 24 % too often; with eight, 1 %, less than the noise.
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

  // allowed[c] = 1 where rank_of(first + c) < count, else 0. Keys that must be walked on are put
  // together, so that each step of the walk is a loop over whole registers.
  [[gnu::always_inline]] void mark_below(int count, int first, int width,
                                         std::uint8_t* allowed) const {
    std::uint32_t x[run];
    int at[run];
    for (int begin = 0; begin < width; begin += run) {
      int left = width - begin < run ? width - begin : run;
      for (int c = 0; c < run; ++c)
        x[c] = static_cast<std::uint32_t>(first + begin) + static_cast<std::uint32_t>(c);
      for (int c = 0; c < run; ++c) at[c] = begin + c;
      while (left > 0) {
        for (int c = 0; c < left; c += lanes) forward_lanes(x + c);
        const int walking = left;
        left = 0;
        for (int c = 0; c < walking; ++c) {
          const std::uint32_t rank = x[c];
          const int place = at[c];
          allowed[place] = rank < static_cast<std::uint32_t>(count) ? 1 : 0;
          x[left] = rank;
          at[left] = place;
          left += rank >= keys_ ? 1 : 0;
        }
      }
    }
  }

 private:
  static constexpr std::size_t rounds = 8;
  static constexpr int run = 64;    // keys that are walked together
  static constexpr int lanes = 16;  // keys of a loop whose length the compiler knows

  [[gnu::always_inline]] void forward_lanes(std::uint32_t* x) const {
    std::uint32_t left[lanes], right[lanes];
    for (int c = 0; c < lanes; ++c) left[c] = x[c] >> half_bits_;
    for (int c = 0; c < lanes; ++c) right[c] = x[c] & half_mask();
    for (std::size_t round = 0; round < rounds; ++round) {
      for (int c = 0; c < lanes; ++c) {
        const std::uint32_t next = left[c] ^ mix(right[c], round);
        left[c] = right[c];
        right[c] = next;
      }
    }
    for (int c = 0; c < lanes; ++c) x[c] = (left[c] << half_bits_) | right[c];
  }

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

// The first few different keys of a row's stream of random numbers: a list that costs a few dozen
// operations.
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

}  // namespace HEED_ABI
}  // namespace heed::mask
