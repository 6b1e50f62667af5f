// Frequencies of rotary positions and their stretchings, against the papers' formulas.
#include "heed/position/rope_frequencies.hpp"

#include <cmath>
#include <numbers>

#include "support/catch.hpp"
#include "support/error.hpp"

using heed::Index;
using heed::test::ContainsSubstring;
using heed::test::error_of;
namespace position = heed::position;
using position::rope_frequencies;

namespace {

double plain(Index n, Index dim, double base) {
  return std::pow(base, -2 * static_cast<double>(n) / static_cast<double>(dim));
}

double at(const position::RopeFrequencies& frequencies, Index n) {
  return frequencies.step[static_cast<std::size_t>(n)];
}

}  // namespace

TEST_CASE("frequencies: unscaled, linear and NTK-aware") {
  for (const Index dim : {4, 8, 64, 128}) {
    for (const double base : {10'000.0, 500'000.0}) {
      for (const double factor : {1.0, 2.0, 8.0, 0.5}) {
        const auto none = rope_frequencies(dim, base);
        const auto linear = rope_frequencies(dim, base, position::linear(factor));
        const auto ntk = rope_frequencies(dim, base, position::ntk_aware(factor));
        REQUIRE(static_cast<Index>(none.step.size()) == dim / 2);
        const double stretched =
            base * std::pow(factor, static_cast<double>(dim) / static_cast<double>(dim - 2));
        for (Index n = 0; n < dim / 2; ++n) {
          CAPTURE(dim, base, factor, n);
          CHECK(at(none, n) == Approx(plain(n, dim, base)).epsilon(1e-13));
          CHECK(at(linear, n) == Approx(plain(n, dim, base) / factor).epsilon(1e-13));
          CHECK(at(ntk, n) == Approx(plain(n, dim, stretched)).epsilon(1e-13));
        }
        CHECK(at(ntk, 0) == 1);
        CHECK(at(ntk, dim / 2 - 1) == Approx(at(linear, dim / 2 - 1)).epsilon(1e-13));
        CHECK(none.magnitude == 1);
        CHECK(linear.magnitude == 1);
        CHECK(ntk.magnitude == 1);
      }
    }
  }
}

TEST_CASE("frequencies: YaRN keeps fast pairs, stretches slow ones, and ramps between") {
  const Index dim = 128;
  const double base = 10'000, factor = 16, length = 4096;
  const auto yarn = rope_frequencies(dim, base, position::yarn(factor, length));
  int kept = 0, stretched = 0, between = 0;
  for (Index n = 0; n < dim / 2; ++n) {
    const double theta = plain(n, dim, base);
    const double wavelength = 2 * std::numbers::pi / theta;
    const double r = length / wavelength;
    const double gamma = r < 1 ? 0 : r > 32 ? 1 : (r - 1) / (32 - 1);
    kept += r > 32 ? 1 : 0;
    stretched += r < 1 ? 1 : 0;
    between += r > 1 && r < 32 ? 1 : 0;
    CAPTURE(n, r);
    CHECK(at(yarn, n) == Approx((1 - gamma) * theta / factor + gamma * theta).epsilon(1e-13));
  }
  CHECK(kept > 5);
  CHECK(stretched > 5);
  CHECK(between > 5);
  CHECK(yarn.magnitude == Approx(0.1 * std::log(16.0) + 1).epsilon(1e-13));
  const auto parts = rope_frequencies(dim, base, position::ntk_by_parts(factor, length));
  CHECK(parts.step == yarn.step);
  CHECK(parts.magnitude == 1);
}

// Llama 3.1's rule in its own words: by wavelengths, with low and high frequency factors.
TEST_CASE("frequencies: Llama 3.1 is NTK by parts with 1 and 4") {
  const double length = 8192, factor = 8, low = 1, high = 4;
  const auto parts =
      rope_frequencies(128, 500'000, position::ntk_by_parts(factor, length, low, high));
  for (Index n = 0; n < 64; ++n) {
    const double theta = plain(n, 128, 500'000);
    const double wavelength = 2 * std::numbers::pi / theta;
    double expected = theta;
    if (wavelength > length / low) {
      expected = theta / factor;
    } else if (wavelength >= length / high) {
      const double smooth = (length / wavelength - low) / (high - low);
      expected = (1 - smooth) * theta / factor + smooth * theta;
    }
    CAPTURE(n);
    CHECK(at(parts, n) == Approx(expected).epsilon(1e-13));
  }
}

TEST_CASE("frequencies: a factor of 1 changes nothing") {
  const auto none = rope_frequencies(64);
  for (const auto& scaling : {position::linear(1), position::ntk_aware(1),
                              position::ntk_by_parts(1, 2048), position::yarn(1, 2048)}) {
    const auto same = rope_frequencies(64, 10'000, scaling);
    CHECK(same.magnitude == 1);
    for (Index n = 0; n < 32; ++n) CHECK(at(same, n) == Approx(at(none, n)).epsilon(1e-13));
  }
}

TEST_CASE("frequencies: what makes none is refused") {
  const double inf = HUGE_VAL;
  CHECK_THAT(
      error_of([] { position::linear(0); }),
      ContainsSubstring("heed::position::linear: factor 0.000000 is not finite and positive"));
  CHECK_THAT(error_of([&] { position::ntk_aware(inf); }), ContainsSubstring("ntk_aware: factor"));
  CHECK_THAT(error_of([] { position::ntk_aware(-2); }), ContainsSubstring("factor -2"));
  CHECK_THAT(error_of([] { position::yarn(4, 0); }),
             ContainsSubstring("original_length 0.000000 is not a number of positions"));
  CHECK_THAT(error_of([&] { position::yarn(4, inf); }), ContainsSubstring("original_length"));
  CHECK_THAT(error_of([] { position::yarn(4, 2048, 8, 8); }),
             ContainsSubstring("beta 8.000000 is not finite and above alpha"));
  CHECK_THAT(error_of([&] { position::yarn(4, 2048, -inf); }), ContainsSubstring("alpha"));
  CHECK_THAT(error_of([] { position::yarn(0.5, 2048); }),
             ContainsSubstring("heed::position::yarn: factor 0.500000 is below 1"));
  CHECK_THAT(error_of([] { rope_frequencies(7); }), ContainsSubstring("7 features to rotate"));
  CHECK_THAT(error_of([] { rope_frequencies(-2); }), ContainsSubstring("-2 features"));
  CHECK_THAT(error_of([] { rope_frequencies(8, -1); }), ContainsSubstring("base -1"));
  CHECK_THAT(error_of([] { rope_frequencies(2, 10'000, position::ntk_aware(2)); }),
             ContainsSubstring("NTK-aware scaling of 2 features"));
  CHECK(rope_frequencies(0).step.empty());
}
