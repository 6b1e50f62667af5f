#include "heed/score/alibi.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "heed/score/at.hpp"
#include "support/catch.hpp"
#include "support/copies.hpp"
#include "support/derivative.hpp"
#include "support/error.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::score::alibi;
using heed::score::alibi_slopes;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::scores_shape;

template <class Slopes>
concept Accepted = requires(Slopes&& slopes) {
  alibi(std::forward<Slopes>(slopes));
};
static_assert(Accepted<std::vector<float>&> && Accepted<const std::vector<float>&>);
static_assert(!Accepted<std::vector<float>>, "a temporary would be gone before the score is used");

// The formula as the documents print it: a geometric series that starts at its own ratio.
std::vector<double> series(int heads) {
  const double start = std::exp2(-std::exp2(-(std::log2(heads) - 3)));
  std::vector<double> slopes;
  for (int n = 0; n < heads; ++n) slopes.push_back(start * std::pow(start, n));
  return slopes;
}

std::vector<double> documents_slopes(int heads) {
  int power = 1;
  while (2 * power <= heads) power *= 2;
  std::vector<double> slopes = series(power);
  const std::vector<double> between = series(2 * power);
  for (int n = 0; n < heads - power; ++n) slopes.push_back(between[std::size_t(2 * n)]);
  return slopes;
}

}  // namespace

TEST_CASE("ALiBi's slopes are the documents' for 1 to 64 heads") {
  for (int heads = 1; heads <= 64; ++heads) {
    const std::vector<float> slopes = alibi_slopes(heads);
    const std::vector<double> expected = documents_slopes(heads);
    REQUIRE(slopes.size() == expected.size());
    for (std::size_t n = 0; n < slopes.size(); ++n) {
      CAPTURE(heads, n);
      CHECK(slopes[n] == Approx(expected[n]).epsilon(1e-7));
    }
  }
}

TEST_CASE("ALiBi's slopes for 8 and 12 heads") {
  CHECK(alibi_slopes(8) == std::vector<float>{0.5f, 0.25f, 0.125f, 0.0625f, 0.03125f, 0.015625f,
                                              0.0078125f, 0.00390625f});
  const auto twelve = alibi_slopes(12);
  CHECK(twelve[0] == 0.5f);
  CHECK(twelve[7] == 0.00390625f);
  CHECK(twelve[8] == Approx(0.70711).epsilon(1e-5));
  CHECK(twelve[9] == Approx(0.35355).epsilon(2e-5));
  CHECK(twelve[10] == Approx(0.17678).epsilon(2e-5));
  CHECK(twelve[11] == Approx(0.08839).epsilon(2e-5));
}

TEST_CASE("ALiBi needs at least one head") {
  CHECK_THAT(error_of([] { alibi_slopes(0); }), ContainsSubstring("heads 0"));
  CHECK_THAT(error_of([] { alibi_slopes(-8); }), ContainsSubstring("heads -8"));
}

TEST_CASE("ALiBi subtracts slope · distance from the position aligned to the end") {
  const std::vector<float> slopes = {0.5f, 2.0f};
  for (const Index Lq : {1, 3, 6}) {
    for (const Index Lk : {1, 4, 6}) {
      const auto shape = scores_shape(1, 2, Lq, Lk);
      for (int h = 0; h < 2; ++h) {
        const auto bound = heed::score::bind(alibi(slopes), shape, 0, h);
        for (int i = 0; i < Lq; ++i) {
          for (int j = 0; j < Lk; ++j) {
            CAPTURE(Lq, Lk, h, i, j);
            const double distance = std::abs(double(i + Lk - Lq - j));
            const double slope = slopes[std::size_t(h)];
            CHECK(bound.value(1.25, i, j) == 1.25 - slope * distance);
            CHECK(bound.value(1.25f, i, j) == float(1.25 - slope * distance));
            CHECK(heed::test::derivative_error(bound, 0.75, i, j) < 1e-9);
          }
        }
      }
    }
  }
}

TEST_CASE("ALiBi knows the farthest positions") {
  using heed::test::longest;
  const std::array<float, 1> slopes = {1.0f};
  const auto square = heed::score::bind(alibi(slopes), scores_shape(longest, longest), 0, 0);
  CHECK(square.value(0.0, 0, longest - 1) == -2147483646.0);
  CHECK(square.value(0.0, longest - 1, 0) == -2147483646.0);
  CHECK(square.value(0.0, longest - 1, longest - 1) == 0.0);
  const auto one_query = heed::score::bind(alibi(slopes), scores_shape(1, longest), 0, 0);
  CHECK(one_query.value(0.0, 0, 0) == -2147483646.0);
  CHECK(one_query.value(0.0, 0, longest - 1) == 0.0);
  const auto one_key = heed::score::bind(alibi(slopes), scores_shape(longest, 1), 0, 0);
  CHECK(one_key.value(0.0, 0, 0) == -2147483646.0);
  CHECK(one_key.value(0.0, longest - 1, 0) == 0.0);
}

TEST_CASE("ALiBi wants a slope per query head") {
  const std::vector<float> slopes = alibi_slopes(8);
  heed::score::check(alibi(slopes), scores_shape(2, 8, 3, 3));
  CHECK_THAT(error_of([&] { heed::score::check(alibi(slopes), scores_shape(2, 12, 3, 3)); }),
             ContainsSubstring("heed::score::alibi: 8 slopes for 12 query heads"));
}

TEST_CASE("learned slopes may be of any sign, but not NaN or infinite") {
  for (const float slope : {-2.0f, 0.0f, 1e30f}) {
    const std::vector<float> slopes = {1.0f, slope};
    heed::score::check(alibi(slopes), scores_shape(1, 2, 3, 3));
  }
  for (const std::uint32_t bits : {0x7f800000u, 0xff800000u, 0x7fc00000u}) {  // ±inf, NaN
    const std::vector<float> slopes = {1.0f, std::bit_cast<float>(bits)};
    CHECK_THAT(error_of([&] { heed::score::check(alibi(slopes), scores_shape(1, 2, 3, 3)); }),
               ContainsSubstring("heed::score::alibi: the slope of head 1 is not finite"));
  }
}

TEST_CASE("ALiBi's slopes may differ by batch and head") {
  const std::vector<float> slopes = {0.5f, 2.0f, 1.0f, -3.0f, 4.0f, 0.25f};
  const auto shape = scores_shape(3, 2, 4, 6);
  heed::score::check(alibi(slopes), shape);
  heed::test::Copies arena;
  const auto there = heed::score::to_device(alibi(slopes), arena);
  for (Index b = 0; b < 3; ++b) {
    for (Index h = 0; h < 2; ++h) {
      const double slope = slopes[std::size_t(2 * b + h)];
      CHECK(heed::score::bind(alibi(slopes), shape, b, h).value(1.0, 0, 5) == 1 - 3 * slope);
      CHECK(heed::score::bind(there, shape, b, h).value(1.0, 0, 5) == 1 - 3 * slope);
    }
  }
  CHECK_THAT(error_of([&] { heed::score::check(alibi(slopes), scores_shape(2, 2, 4, 6)); }),
             ContainsSubstring("6 slopes for 2 query heads and a batch of 2"));
  std::vector<float> bad = slopes;
  bad[3] = std::numeric_limits<float>::infinity();
  CHECK_THAT(error_of([&] { heed::score::check(alibi(bad), shape); }),
             ContainsSubstring("slope of head 1 of batch entry 1 is not finite"));
}

TEST_CASE("a score at an offset has its queries there") {
  const std::vector<float> slopes = {1.0f};
  const std::vector<std::int64_t> offsets = {-2, 5};
  const auto shape = scores_shape(2, 1, 2, 4);
  const auto moved = heed::score::at(offsets, alibi(slopes));
  heed::score::check(moved, shape);
  for (Index b = 0; b < 2; ++b) {
    const auto bound = heed::score::bind(moved, shape, b, 0);
    const auto one =
        heed::score::bind(heed::score::at(offsets[std::size_t(b)], alibi(slopes)), shape, 0, 0);
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 4; ++j) {
        const auto distance = std::abs(double(offsets[std::size_t(b)] + i - j));
        CHECK(bound.value(0.0, i, j) == -distance);
        CHECK(one.value(0.0, i, j) == -distance);
      }
    }
  }
  CHECK_THAT(error_of([&] {
               heed::score::check(heed::score::at({0, Index{1} << 31}, alibi(slopes)), shape);
             }),
             ContainsSubstring("offset 2147483648 is too far from 2 queries and 4 keys"));
}
