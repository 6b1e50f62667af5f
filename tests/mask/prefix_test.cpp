#include "heed/mask/prefix.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::align;
using heed::mask::Coverage;
using heed::mask::prefix;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::longest;
using heed::test::scores_shape;

}  // namespace

TEST_CASE("a prefix is seen by all, what follows causally") {
  for (const Index Lq : {1, 4, 9}) {
    for (const Index Lk : {1, 4, 9}) {
      for (const int length : {0, 1, 3, 9, 20}) {
        const auto shape = scores_shape(Lq, Lk);
        const auto by_end = heed::mask::bind(prefix(length), shape, 0, 0);
        const auto by_start = heed::mask::bind(prefix(length, align::start), shape, 0, 0);
        for (int i = 0; i < Lq; ++i) {
          for (int j = 0; j < Lk; ++j) {
            CAPTURE(Lq, Lk, length, i, j);
            REQUIRE(by_end.allows(i, j) == (j < length || j <= i + Lk - Lq));
            REQUIRE(by_start.allows(i, j) == (j < length || j <= i));
          }
        }
      }
    }
  }
}

TEST_CASE("a prefix of 16 in 64 allows 2080 pairs and 120 more") {
  CHECK(law_of(prefix(16), scores_shape(64, 64)).allowed() == 2080 + 16 * 15 / 2);
}

TEST_CASE("each batch may have a prefix of its own") {
  const std::vector<int> lengths = {0, 2, 100};
  const auto shape = scores_shape(3, 2, 4, 4);
  heed::mask::check(prefix(lengths), shape);
  CHECK(law_of(prefix(lengths), shape, 0, 1).allowed() == 10);
  CHECK(law_of(prefix(lengths), shape, 1, 1).allowed() == 11);
  CHECK(law_of(prefix(lengths), shape, 2, 1).allowed() == 16);
}

TEST_CASE("a prefix answers about the ends of the longest sequences") {
  const auto bound = heed::mask::bind(prefix(longest), scores_shape(longest, longest), 0, 0);
  CHECK(bound.coverage({0, longest, 0, longest}) == Coverage::Full);
}

TEST_CASE("a prefix refuses negative lengths and the wrong number of them") {
  CHECK_THAT(error_of([] { prefix(-3); }),
             ContainsSubstring("heed::mask::prefix: length -3 is negative"));
  const std::vector<int> lengths = {4, -1};
  CHECK_THAT(error_of([&] { heed::mask::check(prefix(lengths), scores_shape(2, 1, 5, 5)); }),
             ContainsSubstring("heed::mask::prefix: length -1 is negative"));
  CHECK_THAT(error_of([&] { heed::mask::check(prefix(lengths), scores_shape(3, 1, 5, 5)); }),
             ContainsSubstring("2 lengths for a batch of 3"));
}
