#include "heed/mask/dilated.hpp"

#include "heed/mask/combine.hpp"
#include "heed/mask/window.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::align;
using heed::mask::Coverage;
using heed::mask::dilated;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::longest;
using heed::test::Promise;
using heed::test::scores_shape;

bool listed(Index position, Index left, Index right, Index dilation, Index key) {
  for (Index n = -left; n <= right; ++n) {
    if (position + n * dilation == key) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("a dilated window sees every dilation-th key") {
  for (const Index Lq : {1, 4, 9}) {
    for (const Index Lk : {1, 4, 9}) {
      for (const Index left : {0, 1, 3, 20}) {
        for (const Index right : {0, 2, 20}) {
          for (const int dilation : {1, 2, 3, 8, 100}) {
            const auto shape = scores_shape(Lq, Lk);
            const auto by_end = heed::mask::bind(dilated(left, right, dilation), shape, 0, 0);
            const auto by_start =
                heed::mask::bind(dilated(left, right, dilation, align::start), shape, 0, 0);
            for (int i = 0; i < Lq; ++i) {
              for (int j = 0; j < Lk; ++j) {
                CAPTURE(Lq, Lk, left, right, dilation, i, j);
                REQUIRE(by_end.allows(i, j) == listed(i + Lk - Lq, left, right, dilation, j));
                REQUIRE(by_start.allows(i, j) == listed(i, left, right, dilation, j));
              }
            }
          }
        }
      }
    }
  }
}

TEST_CASE("with dilation 1 it is the window") {
  const auto shape = scores_shape(20, 25);
  CHECK(law_of(dilated(3, 2, 1), shape).allowed() ==
        law_of(heed::mask::window(3, 2), shape).allowed());
  CHECK(law_of(dilated(3, 2, 1) & ~heed::mask::window(3, 2), shape).allowed() == 0);
}

TEST_CASE("dilated windows answer about the ends of the longest sequences") {
  const auto shape = scores_shape(longest, longest);
  const auto far = heed::mask::bind(dilated(longest, longest, longest), shape, 0, 0);
  CHECK(far.allows(longest - 1, longest - 1));
  CHECK_FALSE(far.allows(longest - 1, 0));
  CHECK(far.coverage({longest - 1, longest, 0, longest - 1}) == Coverage::Empty);
  CHECK(far.coverage({0, 1, 1, longest}) == Coverage::Empty);
  const auto every = heed::mask::bind(dilated(Index{1} << 62, Index{1} << 62, 1), shape, 0, 0);
  CHECK(every.coverage({0, longest, 0, longest}) == Coverage::Full);
  const auto two = heed::mask::bind(dilated(longest, longest, 2), scores_shape(1, longest), 0, 0);
  CHECK(two.allows(0, 0));
  CHECK_FALSE(two.allows(0, 1));
  CHECK(two.coverage({0, 1, 1, 2}) == Coverage::Empty);
  const auto late = heed::mask::bind(dilated(longest, longest, 2), scores_shape(longest, 1), 0, 0);
  CHECK(late.allows(0, 0));
  CHECK_FALSE(late.allows(longest - 2, 0));
}

TEST_CASE("dilated windows refuse negative sides and dilations below 1") {
  CHECK_THAT(error_of([] { dilated(-1, 5, 2); }),
             ContainsSubstring("heed::mask::dilated: a side is negative (left -1, right 5)"));
  CHECK_THAT(error_of([] { dilated(1, -5, 2); }), ContainsSubstring("left 1, right -5"));
  CHECK_THAT(error_of([] { dilated(1, 1, 0); }), ContainsSubstring("dilation 0 is below 1"));
  CHECK_THAT(error_of([] { dilated(1, 1, -7); }), ContainsSubstring("dilation -7 is below 1"));
}
