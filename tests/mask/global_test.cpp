#include "heed/mask/global.hpp"

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::Coverage;
using heed::mask::global;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::longest;
using heed::test::scores_shape;

}  // namespace

TEST_CASE("the first positions see everything and are seen by everything") {
  for (const Index Lq : {1, 4, 7}) {
    for (const Index Lk : {1, 4, 7}) {
      for (const int count : {0, 1, 3, 10}) {
        const auto bound = heed::mask::bind(global(count), scores_shape(Lq, Lk), 0, 0);
        for (int i = 0; i < Lq; ++i) {
          for (int j = 0; j < Lk; ++j) {
            CAPTURE(Lq, Lk, count, i, j);
            REQUIRE(bound.allows(i, j) == (j < count || i + Lk - Lq < count));
          }
        }
      }
    }
  }
}

TEST_CASE("two global tokens of 64 allow 252 pairs") {
  CHECK(law_of(global(2), scores_shape(64, 64)).allowed() == 64 * 64 - 62 * 62);
}

TEST_CASE("global answers about the ends of the longest sequences") {
  const auto all = heed::mask::bind(global(longest), scores_shape(longest, 1), 0, 0);
  CHECK(all.coverage({0, longest, 0, 1}) == Coverage::Full);
  const auto early = heed::mask::bind(global(longest), scores_shape(1, longest), 0, 0);
  CHECK(early.allows(0, longest - 1));
  const auto none = heed::mask::bind(global(0), scores_shape(1, longest), 0, 0);
  CHECK(none.coverage({0, 1, 0, longest}) == Coverage::Empty);
}

TEST_CASE("a negative count of global tokens is refused, with its number") {
  CHECK_THAT(error_of([] { global(-2); }), ContainsSubstring("heed::mask::global: count -2"));
}
