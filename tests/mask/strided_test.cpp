#include "heed/mask/strided.hpp"

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::mask::Coverage;
using heed::mask::strided;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::longest;
using heed::test::scores_shape;

}  // namespace

TEST_CASE("strided sees keys 0, stride, 2·stride, …") {
  for (const int stride : {1, 2, 5, 100}) {
    for (int j = 0; j < 120; ++j) {
      CAPTURE(stride, j);
      bool listed = false;
      for (int key = 0; key <= j; key += stride) listed = listed || key == j;
      REQUIRE(strided(stride).allows(3, j) == listed);
    }
  }
}

TEST_CASE("strided 8 allows 512 of 64 by 64 pairs") {
  CHECK(law_of(strided(8), scores_shape(64, 64)).allowed() == 512);
}

TEST_CASE("strided answers about the ends of the longest sequences") {
  CHECK(strided(longest).allows(0, 0));
  CHECK(strided(longest).coverage({0, 1, 1, longest}) == Coverage::Empty);
  CHECK(strided(longest).coverage({0, longest, 0, 1}) == Coverage::Full);
  CHECK(strided(1).coverage({0, longest, 0, longest}) == Coverage::Full);
  CHECK(strided(2).coverage({0, 9, longest - 1, longest}) == Coverage::Full);
  CHECK(strided(1 << 30).coverage({0, 9, (1 << 30) + 1, longest}) == Coverage::Empty);
}

TEST_CASE("a stride below 1 is refused, with its number") {
  CHECK_THAT(error_of([] { strided(0); }), ContainsSubstring("heed::mask::strided: stride 0"));
  CHECK_THAT(error_of([] { strided(-4); }), ContainsSubstring("-4"));
}
