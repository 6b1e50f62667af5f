#include "heed/score/t5.hpp"

#include <cmath>
#include <vector>

#include "heed/score/relative.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::score::t5_bucket;
using heed::score::t5_table;
using heed::score::T5Options;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::scores_shape;

__extension__ using Wide = unsigned __int128;

Wide power(int base, int exponent) {
  Wide result = 1;
  for (int n = 0; n < exponent; ++n) result *= static_cast<Wide>(base);
  return result;
}

// The paper's formula in whole numbers: the largest m with n^K >= near^(K − m) · far^m.
int expected(int distance, const T5Options& options) {
  int side = options.buckets;
  int first = 0;
  int n = -distance;
  if (options.bidirectional) {
    side /= 2;
    if (distance > 0) first = side;
    n = std::abs(distance);
  } else if (n < 0) {
    n = 0;
  }
  const int near = side / 2;
  if (n < near) return first + n;
  if (n >= options.max_distance) return first + side - 1;
  int m = 0;
  while (power(n, side - near) >=
         power(near, side - near - m - 1) * power(options.max_distance, m + 1)) {
    ++m;
  }
  return first + near + m;
}

}  // namespace

TEST_CASE("T5's buckets are the formula's, in whole numbers") {
  for (const bool bidirectional : {false, true}) {
    for (const int buckets : {2, 4, 6, 8, 10, 16, 32}) {
      for (const int max_distance : {9, 16, 20, 81, 100, 128}) {
        const T5Options options{buckets, max_distance, bidirectional};
        if (bidirectional && buckets < 4) continue;
        if (max_distance <= buckets / (bidirectional ? 4 : 2)) continue;
        for (int distance = -300; distance <= 300; ++distance) {
          CAPTURE(bidirectional, buckets, max_distance, distance);
          REQUIRE(t5_bucket(distance, options) == expected(distance, options));
        }
      }
    }
  }
}

// 8·2^(m/2) for m = 0 … 7: every other one is whole, and a rounded logarithm may miss it.
TEST_CASE("the default buckets begin at 8, 12, 16, 23, 32, 46, 64, 91") {
  const std::vector<int> begins = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
  for (int n = 0; n < 16; ++n) {
    const int begin = begins[static_cast<std::size_t>(n)];
    CHECK(t5_bucket(-begin) == n);
    if (n > 0) CHECK(t5_bucket(-(begin - 1)) == n - 1);
    if (n > 0) CHECK(t5_bucket(begin) == 16 + n);
  }
  CHECK(t5_bucket(-2147483647 - 1) == 15);
  CHECK(t5_bucket(2147483647) == 31);
}

// 3·log(15 / 3) / log(375 / 3) is 1, and 0.9999999999999998 in double.
TEST_CASE("quotients that are whole are not rounded down") {
  const T5Options five{6, 375, false};  // 3 near ones, then from 3, 15 and 75 on
  CHECK(t5_bucket(-14, five) == 3);
  CHECK(t5_bucket(-15, five) == 4);
  CHECK(t5_bucket(-74, five) == 4);
  CHECK(t5_bucket(-75, five) == 5);
  for (const int count : {3, 6, 60}) {  // near·10^(6m / count), whole where 6m / count is
    const T5Options ten{2 * count, count * 1'000'000, false};
    for (int m = count % 6 == 0 ? count / 6 : 1; m < count; m += count % 6 == 0 ? count / 6 : 1) {
      const int begin = static_cast<int>(std::lround(count * std::pow(10, 6 * m / count)));
      CAPTURE(count, m, begin);
      CHECK(t5_bucket(-begin, ten) == count + m);
      CHECK(t5_bucket(-begin + 1, ten) == count + m - 1);
    }
  }
}

TEST_CASE("T5's table holds the bucket of each distance, and clips where T5 does") {
  for (const bool bidirectional : {false, true}) {
    const T5Options options{8, 20, bidirectional};
    heed::Tensor2<float> buckets(2, 8);
    for (Index n = 0; n < 16; ++n) buckets.data()[n] = static_cast<float>(n * n);
    const auto table = t5_table(buckets, options);
    CHECK(table.dimension(0) == 2);
    CHECK(table.dimension(1) == 41);
    const auto bound =
        heed::score::bind(heed::score::relative(table), scores_shape(1, 2, 60, 60), 0, 1);
    for (int i = 0; i < 60; ++i) {
      for (int j = 0; j < 60; ++j) {
        CAPTURE(bidirectional, i, j);
        REQUIRE(bound.value(0.5f, i, j) == 0.5f + buckets(1, expected(j - i, options)));
      }
    }
  }
}

TEST_CASE("T5 refuses options that make no buckets, and tables of another size") {
  const auto complaint = [](int buckets, int max_distance, bool bidirectional) {
    return error_of([&] { t5_bucket(3, {buckets, max_distance, bidirectional}); });
  };
  CHECK(complaint(2, 2, false).empty());
  CHECK(complaint(4, 2, true).empty());
  CHECK_THAT(complaint(0, 128, true), ContainsSubstring("heed::score::t5: 0 buckets"));
  CHECK_THAT(complaint(31, 128, true), ContainsSubstring("31 buckets"));
  CHECK_THAT(complaint(1, 128, false), ContainsSubstring("1 buckets"));
  CHECK_THAT(complaint(-32, 128, false), ContainsSubstring("-32 buckets"));
  CHECK_THAT(complaint(32, 8, true), ContainsSubstring("max_distance 8 is not above the 8"));
  CHECK_THAT(complaint(32, -1, false), ContainsSubstring("max_distance -1"));
  const heed::Tensor2<float> table(2, 16);
  CHECK_THAT(error_of([&] { t5_table(table); }),
             ContainsSubstring("the table has buckets 16 but the options have 32 (table [2,16])"));
}
