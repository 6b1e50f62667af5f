#include "heed/core/elementary.hpp"

#include <cmath>
#include <limits>

#include "support/catch.hpp"

using heed::exp2_of_negative;
using heed::tanh_of;

namespace {

// The distance of `got` from the truth, in units of the last place there.
template <class R>
double ulp_error(R got, long double truth) {
  const R size = std::abs(static_cast<R>(truth));
  const long double unit = std::nextafter(size, std::numeric_limits<R>::infinity()) - size;
  return static_cast<double>(std::abs(static_cast<long double>(got) - truth) / unit);
}

}  // namespace

TEMPLATE_TEST_CASE("tanh within 3 units in the last place", "", float, double) {
  double worst = 0;
  double squares = 0;
  double beyond = 0;  // where it is not a polynomial
  const auto look_at = [&](TestType x) {
    const double off = ulp_error(tanh_of(x), std::tanh(static_cast<long double>(x)));
    if (x > TestType(0.625) && x < TestType(3)) squares += off * off, ++beyond;
    if (!(off <= worst)) worst = off;
    CHECK(tanh_of(-x) == -tanh_of(x));
  };
  for (int n = 0; n <= 40000; ++n) look_at(static_cast<TestType>(n * 25.0 / 40000));
  for (int e = 1; e < 100; ++e) look_at(static_cast<TestType>(std::ldexp(1.37, -e)));
  CHECK(worst <= 3);
  CHECK(std::sqrt(squares / beyond) <= 0.4);
}

TEMPLATE_TEST_CASE("tanh at zero, far out and on NaN", "", float, double) {
  using Limits = std::numeric_limits<TestType>;
  CHECK(tanh_of(TestType(0)) == 0);
  CHECK(tanh_of(Limits::max()) == 1);
  CHECK(tanh_of(-Limits::max()) == -1);
  CHECK(tanh_of(Limits::min()) == Limits::min());
#if !defined(__FAST_MATH__)  // which promises no signed zero, infinity or NaN
  CHECK(std::signbit(tanh_of(TestType(-0.0))));
  CHECK(tanh_of(Limits::infinity()) == 1);
  CHECK(tanh_of(-Limits::infinity()) == -1);
  CHECK(std::isnan(tanh_of(Limits::quiet_NaN())));
#endif
}

TEMPLATE_TEST_CASE("2^x below zero within 2 units in the last place", "", float, double) {
  double worst = 0;
  for (int n = 0; n <= 40000; ++n) {
    const auto x = static_cast<TestType>(-125.0 * n / 40000);
    const double off = ulp_error(exp2_of_negative(x), std::exp2(static_cast<long double>(x)));
    if (!(off <= worst)) worst = off;
  }
  CHECK(worst <= 2);
  CHECK(exp2_of_negative(TestType(0)) == 1);
}
