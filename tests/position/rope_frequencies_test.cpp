// Frequencies of rotary positions and their stretchings, against the papers' formulas and the rules
// that models' configurations are read by.
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

TEST_CASE("frequencies: NTK by parts keeps fast pairs, stretches slow ones, ramps between") {
  const Index dim = 128;
  const double base = 10'000, factor = 16, length = 4096;
  const auto parts = rope_frequencies(dim, base, position::ntk_by_parts(factor, length));
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
    CHECK(at(parts, n) == Approx((1 - gamma) * theta / factor + gamma * theta).epsilon(1e-13));
  }
  CHECK(kept > 5);
  CHECK(stretched > 5);
  CHECK(between > 5);
  CHECK(parts.magnitude == 1);
}

// The rule of YaRN's authors' code (github.com/jquesnelle/yarn), which transformers, vLLM and
// llama.cpp follow, on the configurations of Qwen2.5, gpt-oss, DeepSeek-V3 and a short context.
TEST_CASE("frequencies: YaRN as models are deployed with it") {
  struct Model {
    const char* name;
    Index dim;
    double base, factor, length;
    bool truncate;
  };
  const Model models[] = {{"Qwen2.5", 128, 1e6, 4, 32768, true},
                          {"gpt-oss, rounded", 64, 150'000, 32, 4096, true},
                          {"gpt-oss", 64, 150'000, 32, 4096, false},
                          {"DeepSeek-V3", 64, 10'000, 40, 4096, true},
                          {"64 positions", 32, 10'000, 8, 64, true}};
  for (const Model& m : models) {
    const auto yarn = rope_frequencies(
        m.dim, m.base, position::yarn(m.factor, m.length, {.truncate = m.truncate}));
    const auto dim = static_cast<double>(m.dim);
    const auto correction = [&](double rotations) {
      return dim * std::log(m.length / (rotations * 2 * std::numbers::pi)) / (2 * std::log(m.base));
    };
    double low = correction(32), high = correction(1);
    if (m.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = low < 0 ? 0 : low;
    high = high > dim - 1 ? dim - 1 : high;
    int between = 0;
    for (Index n = 0; n < m.dim / 2; ++n) {
      const double line = (static_cast<double>(n) - low) / (high - low);
      const double ramp = line < 0 ? 0 : line > 1 ? 1 : line;
      const double inverse = 1 / std::pow(m.base, 2 * static_cast<double>(n) / dim);
      CAPTURE(m.name, n);
      CHECK(at(yarn, n) == Approx(inverse / m.factor * ramp + inverse * (1 - ramp)).epsilon(1e-13));
      between += ramp > 0 && ramp < 1 ? 1 : 0;
    }
    CHECK(between > 3);
    CHECK(yarn.magnitude == Approx(0.1 * std::log(m.factor) + 1).epsilon(1e-13));
  }
  CHECK(at(rope_frequencies(128, 1e6, position::yarn(4, 32768)), 32) ==
        Approx(0.000603).margin(5e-7));
  CHECK(at(rope_frequencies(64, 150'000, position::yarn(32, 4096)), 16) ==
        Approx(0.000581).margin(5e-7));
}

TEST_CASE("frequencies: YaRN's betas, magnitudes and ramps without a length") {
  const auto options =
      rope_frequencies(64, 10'000, position::yarn(40, 4096, {.beta_fast = 16, .beta_slow = 2}));
  CHECK(options.step == rope_frequencies(64, 10'000, position::yarn(40, 4096, 2, 16)).step);
  CHECK(options.step != rope_frequencies(64, 10'000, position::yarn(40, 4096)).step);
  // DeepSeek-V3 has mscale = mscale_all_dim = 1, V2 both 0.707: the softmax's scale has it all.
  CHECK(position::yarn(40, 4096, {.mscale = 1, .mscale_all_dim = 1}).magnitude == 1);
  CHECK(position::yarn(40, 4096, {.mscale = 0.707}).magnitude ==
        Approx(1 + 0.0707 * std::log(40.0)).epsilon(1e-14));
  CHECK(position::yarn(40, 4096, {.mscale = 1, .mscale_all_dim = 0.8}).magnitude ==
        Approx((1 + 0.1 * std::log(40.0)) / (1 + 0.08 * std::log(40.0))).epsilon(1e-14));
  CHECK(position::yarn(40, 4096, {.attention_factor = 1.25}).magnitude == 1.25);
  CHECK(position::yarn_mscale(40) == Approx(1.3688879454113936).epsilon(1e-14));
  CHECK(position::yarn_mscale(0.5) == 1);
  // A context in which the fastest pair does not turn once is stretched whole, and one in which the
  // slowest turns 32 times is kept.
  const auto plain_steps = rope_frequencies(8, 10).step;
  CHECK(rope_frequencies(8, 10, position::yarn(4, 1e6)).step == plain_steps);
  const auto stretched = rope_frequencies(8, 1e4, position::yarn(4, 1));
  for (Index n = 1; n < 4; ++n) {
    CHECK(at(stretched, n) == Approx(plain(n, 8, 1e4) / 4).epsilon(1e-13));
  }
}

// transformers: base · (factor · length / original − (factor − 1))^(dim / (dim − 2)).
TEST_CASE("frequencies: dynamic NTK follows the length") {
  for (const double length : {0.0, 100.0, 4096.0, 6000.0, 16384.0}) {
    const double seen = length > 4096 ? length : 4096;
    const double base = 10'000 * std::pow(2 * seen / 4096 - (2 - 1), 128.0 / 126);
    const auto dynamic = rope_frequencies(128, 10'000, position::dynamic_ntk(2, 4096, length));
    for (Index n = 0; n < 64; ++n) {
      CAPTURE(length, n);
      CHECK(at(dynamic, n) == Approx(plain(n, 128, base)).epsilon(1e-13));
    }
    CHECK(dynamic.magnitude == 1);
  }
}

// Phi-3.1-mini-128k: 4096 positions stretched to 131072, a head of 96 features. The long factors
// are its configuration's, rounded; the short ones begin as those do. Its attention factor
// is 1.190238 in published conversions. Ding et al. (2024), equation 2.
TEST_CASE("frequencies: LongRoPE divides each pair's step, by the text's length") {
  position::LongRopeOptions model{.original_length = 4096, .max_length = 131072};
  model.short_factor = {1.1, 1.1, 1.1, 1.3, 1.35, 1.35, 1.4, 1.55};
  model.short_factor.resize(48, 2.0);
  model.long_factor = {1.07,  1.12,  1.15,  1.42,  1.57,  1.8,   2.13,  2.13,  3.01,  5.91,
                       6.95,  9.07,  9.93,  10.71, 11.13, 14.61, 15.41, 19.81, 37.28, 38.28,
                       38.6,  40.12, 46.2,  50.94, 53.66, 54.94, 56.9,  57.29, 59.99, 60.87,
                       60.89, 61.72, 62.92, 62.96, 63.42, 63.82, 63.84, 63.9,  63.94, 64.07,
                       64.11, 64.12, 64.15, 64.19, 64.24, 64.57, 64.69, 64.76};
  REQUIRE(model.long_factor.size() == 48);
  for (const double length : {1.0, 4096.0, 4097.0, 131072.0}) {
    const auto& factors = length > 4096 ? model.long_factor : model.short_factor;
    const auto scaled = rope_frequencies(96, 10'000, position::longrope(model, length));
    for (Index n = 0; n < 48; ++n) {
      CAPTURE(length, n);
      const double power = std::pow(10'000, 2 * static_cast<double>(n) / 96);
      CHECK(at(scaled, n) ==
            Approx(1 / (factors[static_cast<std::size_t>(n)] * power)).epsilon(1e-13));
    }
    CHECK(scaled.magnitude == Approx(1.190238).margin(5e-7));
  }
  model.attention_factor = 1.5;
  CHECK(position::longrope(model, 9).magnitude == 1.5);
  model.attention_factor = {};
  model.max_length = 2048;
  CHECK(position::longrope(model, 9).magnitude == 1);
  CHECK_THAT(error_of([&] { rope_frequencies(64, 10'000, position::longrope(model, 9)); }),
             ContainsSubstring("48 factors for 32 pairs"));
}

// Llama 3.1's rule in its own words: by wavelengths, with low and high frequency factors.
TEST_CASE("frequencies: Llama 3.1 is NTK by parts with 1 and 4") {
  const double length = 8192, factor = 8, low = 1, high = 4;
  const auto parts =
      rope_frequencies(128, 500'000, position::ntk_by_parts(factor, length, low, high));
  CHECK(rope_frequencies(128, 500'000, position::llama3(factor, length)).step == parts.step);
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
  for (const auto& scaling :
       {position::linear(1), position::ntk_aware(1), position::ntk_by_parts(1, 2048),
        position::yarn(1, 2048), position::llama3(1, 2048), position::dynamic_ntk(1, 2048, 2048)}) {
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
  CHECK_THAT(error_of([] { position::yarn(4, 2048, 0.0); }),
             ContainsSubstring("alpha 0.000000 is not positive"));
  CHECK_THAT(error_of([&] { position::yarn(4, 2048, {.attention_factor = inf}); }),
             ContainsSubstring("yarn: magnitude inf is not finite"));
  CHECK_THAT(error_of([] { rope_frequencies(8, 1, position::yarn(4, 2048)); }),
             ContainsSubstring("base 1.000000 is not above 1, as YaRN's must be"));
  CHECK_THAT(error_of([] { position::dynamic_ntk(2, 4096, -1); }),
             ContainsSubstring("dynamic_ntk: length -1.000000 is not a number of positions"));
  CHECK_THAT(error_of([] { position::dynamic_ntk(2, 0, 5); }),
             ContainsSubstring("dynamic_ntk: original_length 0.000000"));
  CHECK_THAT(error_of([] {
               position::longrope({{1}, {1}, 1, 8}, 3);
             }),
             ContainsSubstring("longrope: original_length 1.000000 is not above 1"));
  CHECK_THAT(error_of([] {
               position::longrope({{0}, {1}, 4, 8}, 3);
             }),
             ContainsSubstring("longrope: factor 0.000000 is not finite and positive"));
  CHECK_THAT(error_of([] { position::yarn(0.5, 2048); }),
             ContainsSubstring("heed::position::yarn: factor 0.500000 is below 1"));
  CHECK_THAT(error_of([] { rope_frequencies(7); }), ContainsSubstring("7 features to rotate"));
  CHECK_THAT(error_of([] { rope_frequencies(-2); }), ContainsSubstring("-2 features"));
  CHECK_THAT(error_of([] { rope_frequencies(8, -1); }), ContainsSubstring("base -1"));
  CHECK_THAT(error_of([] { rope_frequencies(2, 10'000, position::ntk_aware(2)); }),
             ContainsSubstring("NTK-aware scaling of 2 features"));
  CHECK(rope_frequencies(0).step.empty());
}
