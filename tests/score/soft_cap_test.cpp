#include "heed/score/soft_cap.hpp"

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/derivative.hpp"
#include "support/error.hpp"

using heed::score::soft_cap;
using heed::test::ContainsSubstring;
using heed::test::error_of;

TEST_CASE("a soft cap is cap · tanh(s / cap)") {
  for (const double cap : {0.5, 1.0, 30.0, 50.0}) {
    const auto score = soft_cap(cap);
    for (const double s : {-1e6, -70.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 29.0, 1e6}) {
      CAPTURE(cap, s);
      const double expected = cap * std::tanh(s / cap);
      CHECK(score.value(s, 3, 5) == Approx(expected).epsilon(1e-15).margin(1e-300));
      CHECK(score.value(static_cast<float>(s), 3, 5) == Approx(expected).epsilon(1e-6));
      CHECK(std::abs(score.value(s, 0, 0)) <= cap);
      CHECK(heed::test::derivative_error(score, s, 0, 0) < 1e-7);
    }
  }
}

TEST_CASE("scores far below a soft cap stay what they are") {
  CHECK(soft_cap(1e30).value(2.5f, 0, 0) == Approx(2.5f));
  CHECK(soft_cap(1e30).derivative(2.5f, 0, 0) == 1.0f);
}

TEST_CASE("a soft cap must be positive, finite, and a float") {
  for (const double cap : {0.0, -1.0, std::nan(""), HUGE_VAL, 1e39, 1e-46, 1e300}) {
    CAPTURE(cap);
    CHECK_THAT(error_of([&] { soft_cap(cap); }), ContainsSubstring("heed::score::soft_cap"));
  }
  CHECK_THAT(error_of([] { soft_cap(-3.0); }), ContainsSubstring("-3"));
}
