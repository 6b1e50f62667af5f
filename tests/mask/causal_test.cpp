#include "heed/mask/causal.hpp"

#include "support/catch.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::align;
using heed::mask::Band;
using heed::mask::causal;
using heed::mask::Coverage;
using heed::test::law_of;
using heed::test::longest;
using heed::test::scores_shape;

}  // namespace

TEST_CASE("causal sees keys 0 … i + Lk − Lq, from the start 0 … i") {
  for (const Index Lq : {1, 3, 5, 8}) {
    for (const Index Lk : {1, 3, 5, 8}) {
      const auto shape = scores_shape(Lq, Lk);
      const auto by_end = heed::mask::bind(causal(), shape, 0, 0);
      const auto by_start = heed::mask::bind(causal(align::start), shape, 0, 0);
      for (int i = 0; i < Lq; ++i) {
        for (int j = 0; j < Lk; ++j) {
          CAPTURE(Lq, Lk, i, j);
          REQUIRE(by_end.allows(i, j) == (j <= i + Lk - Lq));
          REQUIRE(by_start.allows(i, j) == (j <= i));
        }
      }
    }
  }
}

TEST_CASE("causal allows 2080 of 64 by 64 pairs") {
  CHECK(law_of(causal(), scores_shape(64, 64)).allowed() == 2080);
}

TEST_CASE("with more queries than keys the first queries see nothing") {
  const auto law = law_of(causal(), scores_shape(5, 3));
  CHECK(law.allowed({0, 2, 0, 3}) == 0);
  CHECK(law.allowed({2, 3, 0, 3}) == 1);
  CHECK(law.allowed({4, 5, 0, 3}) == 3);
}

TEST_CASE("causal answers about the ends of the longest sequences") {
  const auto square = heed::mask::bind(causal(), scores_shape(longest, longest), 0, 0);
  CHECK(square.allows(longest - 1, longest - 1));
  CHECK(square.allows(longest - 1, 0));
  CHECK_FALSE(square.allows(0, longest - 1));
  CHECK_FALSE(square.allows(longest - 2, longest - 1));
  CHECK(square.coverage({longest - 64, longest, 0, longest - 64}) == Coverage::Full);
  CHECK(square.coverage({0, 64, longest - 64, longest}) == Coverage::Empty);
  CHECK(square.coverage({0, longest, 0, longest}) == Coverage::Partial);

  const auto many_keys = heed::mask::bind(causal(), scores_shape(1, longest), 0, 0);
  CHECK(many_keys.coverage({0, 1, 0, longest}) == Coverage::Full);
  const auto many_queries = heed::mask::bind(causal(), scores_shape(longest, 1), 0, 0);
  CHECK(many_queries.coverage({0, longest - 1, 0, 1}) == Coverage::Empty);
  CHECK(many_queries.allows(longest - 1, 0));
}

TEST_CASE("a band admits differences low … high, nothing where low > high") {
  const Band band{-2, 3};
  for (int j = 0; j < 20; ++j) CHECK(band.allows(10, j) == (j >= 8 && j <= 13));
  const Band none{1, 0};
  CHECK_FALSE(none.allows(5, 5));
  CHECK_FALSE(none.allows(5, 6));
  CHECK(none.coverage({0, 9, 0, 9}) == Coverage::Empty);
}

TEST_CASE("a band's bounds beyond an int stay bounds") {
  constexpr Index far = Index{1} << 40;
  CHECK(Band::around(0, far, far).coverage({0, longest, 0, longest}) == Coverage::Full);
  CHECK(Band::around(far, 0, 0).coverage({0, longest, 0, longest}) == Coverage::Empty);
  CHECK(Band::around(-far, 0, 0).coverage({0, longest, 0, longest}) == Coverage::Empty);
}
