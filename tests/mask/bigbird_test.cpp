#include "heed/mask/bigbird.hpp"

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::bigbird;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::scores_shape;

}  // namespace

TEST_CASE("BigBird is local, global and random together") {
  const auto shape = scores_shape(70, 90);
  const auto whole = heed::mask::bind(bigbird(6, 1, 2, 13), shape, 0, 0);
  const auto near = heed::mask::bind(heed::mask::local(6), shape, 0, 0);
  const auto global = heed::mask::bind(heed::mask::global(1), shape, 0, 0);
  const auto random = heed::mask::bind(heed::mask::random(2, 13), shape, 0, 0);
  for (int i = 0; i < 70; ++i) {
    for (int j = 0; j < 90; ++j) {
      REQUIRE(whole.allows(i, j) ==
              (near.allows(i, j) || global.allows(i, j) || random.allows(i, j)));
    }
  }
  CHECK(law_of(bigbird(6, 1, 2, 13), shape).check({0, 1, 3, 32, 63, 64, 65, 70, 89, 90}) == "");
}

TEST_CASE("BigBird's defaults are the documents': 64, 2, 3") {
  const auto shape = scores_shape(200, 200);
  const auto by_default = heed::mask::bind(bigbird(), shape, 0, 0);
  const auto spelled = heed::mask::bind(bigbird(64, 2, 3, 0), shape, 0, 0);
  for (int i = 0; i < 200; ++i) {
    int seen = 0;
    int differing = 0;
    for (int j = 0; j < 200; ++j) {
      seen += by_default.allows(i, j) ? 1 : 0;
      differing += by_default.allows(i, j) != spelled.allows(i, j) ? 1 : 0;
    }
    CAPTURE(i);
    CHECK(differing == 0);
    if (i < 2) CHECK(seen == 200);
    // 65 near keys, 2 global and 3 random ones, some of which may be the same
    if (i >= 34 && i < 168) CHECK((seen >= 67 && seen <= 70));
  }
}

TEST_CASE("BigBird refuses what its parts refuse") {
  CHECK_FALSE(error_of([] { bigbird(-1); }).empty());
  CHECK_FALSE(error_of([] { bigbird(4, -1); }).empty());
  CHECK_FALSE(error_of([] { bigbird(4, 1, -1); }).empty());
}
