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

#if !defined(__FAST_MATH__)  // under which the compiler multiplies by the limit at the end
// Scores near the cap decide a row: an error of an ulp of 50 moves a weight by 4e-6.
TEST_CASE("a soft cap is rounded hardly more often than once") {
  const auto root_mean_square = [](double from, double to) {
    constexpr int steps = 20000;
    double squares = 0;
    for (int n = 0; n < steps; ++n) {
      const auto s = static_cast<float>(50 * (from + (to - from) * n / steps));
      const double exact = 50 * std::tanh(static_cast<double>(s) / 50);
      const auto rounded = static_cast<float>(exact);
      const double ulp = static_cast<double>(std::nextafter(rounded, HUGE_VALF) - rounded);
      squares += std::pow((static_cast<double>(soft_cap(50).value(s, 0, 0)) - exact) / ulp, 2);
    }
    return std::sqrt(squares / steps);
  };
  CHECK(root_mean_square(0.01, 0.625) < 0.32);
  CHECK(root_mean_square(0.63, 3) < 0.39);
  CHECK(root_mean_square(3, 9) < 0.32);
}
#endif

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
