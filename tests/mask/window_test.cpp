#include "heed/mask/window.hpp"

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::mask::align;
using heed::mask::Coverage;
using heed::mask::local;
using heed::mask::window;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::longest;
using heed::test::scores_shape;

}  // namespace

TEST_CASE("a window holds both of its ends") {
  for (const Index Lq : {1, 4, 9}) {
    for (const Index Lk : {1, 4, 9}) {
      for (const Index left : {0, 1, 3, 20}) {
        for (const Index right : {0, 2, 20}) {
          const auto shape = scores_shape(Lq, Lk);
          const auto by_end = heed::mask::bind(window(left, right), shape, 0, 0);
          const auto by_start = heed::mask::bind(window(left, right, align::start), shape, 0, 0);
          for (int i = 0; i < Lq; ++i) {
            for (int j = 0; j < Lk; ++j) {
              CAPTURE(Lq, Lk, left, right, i, j);
              const Index position = i + Lk - Lq;
              REQUIRE(by_end.allows(i, j) == (j >= position - left && j <= position + right));
              REQUIRE(by_start.allows(i, j) == (j >= i - left && j <= i + right));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("window(w) has w keys to each side") {
  const auto shape = scores_shape(30, 30);
  const auto one = heed::mask::bind(window(4), shape, 0, 0);
  const auto two = heed::mask::bind(window(4, 4), shape, 0, 0);
  CHECK(one.low == two.low);
  CHECK(one.high == two.high);
  CHECK(law_of(window(4), shape).allowed({15, 16, 0, 30}) == 9);
}

TEST_CASE("the documents' local mask of size w sees 2·(w / 2) + 1 keys") {
  CHECK(law_of(local(16), scores_shape(64, 64)).allowed() == 1016);
  for (const int size : {0, 1, 2, 3, 7, 8}) {
    const auto law = law_of(local(size), scores_shape(40, 40));
    CAPTURE(size);
    CHECK(law.allowed({20, 21, 0, 40}) == 2 * (size / 2) + 1);
  }
}

TEST_CASE("windows wider than any sequence see everything on their side") {
  for (const Index width : {Index{longest}, Index{1} << 31, Index{1} << 40, Index{1} << 62}) {
    CAPTURE(width);
    for (const auto& shape : {scores_shape(longest, longest), scores_shape(1, longest),
                              scores_shape(longest, 1), scores_shape(100, 7)}) {
      const int Lq = static_cast<int>(shape.Lq);
      const int Lk = static_cast<int>(shape.Lk);
      CAPTURE(Lq, Lk);
      const auto both = heed::mask::bind(window(width), shape, 0, 0);
      CHECK(both.coverage({0, Lq, 0, Lk}) == Coverage::Full);
      const auto left = heed::mask::bind(window(width, 0), shape, 0, 0);
      CHECK(left.allows(Lq - 1, 0));
      CHECK(left.allows(Lq - 1, Lk - 1));
      CHECK(left.allows(0, Lk - 1) == (Lq == 1));
    }
  }
}

TEST_CASE("a window of zero at the ends of the longest sequences") {
  const auto bound = heed::mask::bind(window(0), scores_shape(longest, longest), 0, 0);
  CHECK(bound.allows(longest - 1, longest - 1));
  CHECK(bound.coverage({0, 64, longest - 64, longest}) == Coverage::Empty);
  CHECK(bound.coverage({longest - 64, longest, 0, 64}) == Coverage::Empty);
}

TEST_CASE("a negative side of a window is refused, with its number") {
  CHECK_THAT(error_of([] { window(-1, 5); }), ContainsSubstring("left -1, right 5"));
  CHECK_THAT(error_of([] { window(5, -7); }), ContainsSubstring("left 5, right -7"));
  CHECK_THAT(error_of([] { window(-3); }), ContainsSubstring("heed::mask::window"));
  for (const Index size : {-1, -2, -64}) {
    CAPTURE(size);
    CHECK_THAT(error_of([&] { local(size); }),
               ContainsSubstring("heed::mask::local: size " + std::to_string(size)));
  }
}
