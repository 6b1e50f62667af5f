#include "heed/core/random.hpp"

#include <cmath>
#include <cstdint>

#include "support/catch.hpp"

namespace {

using heed::Dropout;
using heed::philox;
using heed::Words4;

int kept(const Dropout& dropout, std::uint32_t rows, std::uint32_t cols) {
  int count = 0;
  for (std::uint32_t i = 0; i < rows; ++i) {
    for (std::uint32_t j = 0; j < cols; ++j) count += dropout.keeps(0, 0, i, j) ? 1 : 0;
  }
  return count;
}

}  // namespace

// The known answers that Random123 publishes for philox4x32, 10 rounds (its file kat_vectors).
TEST_CASE("Philox4x32-10 gives its published answers") {
  static_assert(philox(0, {0, 0, 0, 0})[0] == 0x6627e8d5u);
  CHECK(philox(0, {0, 0, 0, 0}) == Words4{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  CHECK(philox(0xffffffffffffffffu, {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}) ==
        Words4{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(philox(0x299f31d0a4093822u, {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}) ==
        Words4{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE(
    "dropout keeps element j where word j mod 4 of counter (j / 4, i, h, b) is large enough") {
  const Dropout dropout = Dropout::of(0.25, 0x123456789abcdef0u);
  CHECK(dropout.threshold == 0x40000000u);
  for (std::uint32_t b = 0; b < 3; ++b) {
    for (std::uint32_t h = 0; h < 3; ++h) {
      for (std::uint32_t i = 0; i < 5; ++i) {
        for (std::uint32_t j = 0; j < 13; ++j) {
          const Words4 words = philox(0x123456789abcdef0u, {j / 4, i, h, b});
          CAPTURE(b, h, i, j);
          CHECK(dropout.keeps(b, h, i, j) == (words[j % 4] >= 0x40000000u));
        }
      }
    }
  }
}

TEST_CASE("dropout keeps the word that is the threshold") {
  const std::uint32_t word = philox(9, {0, 0, 0, 0})[0];
  CHECK(Dropout{9, word, 2}.keeps(0, 0, 0, 0));
  CHECK_FALSE(Dropout{9, std::uint64_t{word} + 1, 2}.keeps(0, 0, 0, 0));
}

TEST_CASE("dropout's threshold is floor(p · 2^32), its scale 1 / (1 − p)") {
  CHECK(Dropout::of(0.5, 0).threshold == 0x80000000u);
  CHECK(Dropout::of(0.1, 0).threshold == 429496729u);
  CHECK(Dropout::of(1 - std::ldexp(1.0, -33), 0).threshold == 0xffffffffu);
  CHECK(Dropout::of(0.1, 0).keep_scale == 1 / 0.9);
  CHECK(Dropout::of(0.75, 0).keep_scale == 4.0);
}

TEST_CASE("dropout 0 does nothing, 1 drops everything") {
  const Dropout none = Dropout::of(0, 5);
  CHECK_FALSE(none.active());
  CHECK_FALSE(Dropout{}.active());
  CHECK(none.keep_scale == 1.0);
  CHECK(kept(none, 40, 40) == 1600);
  const Dropout all = Dropout::of(1, 5);
  CHECK(all.active());
  CHECK(all.keep_scale == 0.0);
  CHECK(all.threshold == std::uint64_t{1} << 32);
  CHECK(kept(all, 40, 40) == 0);
}

TEST_CASE("a dropout too small to drop anything scales the weights all the same") {
  const Dropout tiny = Dropout::of(1e-10, 5);
  CHECK(tiny.threshold == 0);
  CHECK(tiny.active());
  CHECK(tiny.keep_scale == 1 / (1 - 1e-10));
}

// The number kept of n has a standard deviation of sqrt(n·p·(1 − p)).
TEST_CASE("dropout drops at its rate") {
  for (const double p : {0.01, 0.1, 0.5, 0.9}) {
    const int n = 300 * 301;
    const double deviation = std::sqrt(n * p * (1 - p));
    CAPTURE(p);
    CHECK(std::abs(kept(Dropout::of(p, 17), 300, 301) - n * (1 - p)) < 5 * deviation);
  }
}

TEST_CASE("dropout with another seed drops others") {
  const Dropout one = Dropout::of(0.5, 1);
  for (const std::uint64_t seed : {std::uint64_t{2}, (std::uint64_t{1} << 32) + 1}) {
    const Dropout other = Dropout::of(0.5, seed);
    int same = 0;
    for (std::uint32_t j = 0; j < 1000; ++j) {
      same += one.keeps(0, 0, 0, j) == other.keeps(0, 0, 0, j) ? 1 : 0;
    }
    CAPTURE(seed);
    CHECK(std::abs(same - 500) < 80);  // five standard deviations
  }
}
