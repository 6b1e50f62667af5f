#include "heed/plot/format.hpp"

#include <limits>

#include "support/catch.hpp"

using heed::plot::formatted;
using heed::plot::percent_text;

TEST_CASE("a number is written as printf writes it") {
  CHECK(formatted("%.3g", 0.8421) == "0.842");
  CHECK(formatted("%.2f MiB", 1.5) == "1.50 MiB");
}

TEST_CASE("a text that is too long is cut, not written beyond its end") {
  volatile double largest = std::numeric_limits<double>::max();  // or g++ warns of the very cut
  const double value = largest;
  CHECK(formatted("%.0f", value).size() == 63);
}

TEST_CASE("a share in per cent has one digit after the point") {
  CHECK(percent_text(0.2834) == "28.3 %");
  CHECK(percent_text(1) == "100.0 %");
  CHECK(percent_text(1e300) == "1e+302 %");  // not its first 63 digits
}

#if !defined(__FAST_MATH__)
TEST_CASE("a share that is NaN says so") {
  CHECK(percent_text(std::numeric_limits<double>::quiet_NaN()) == "NaN");
}
#endif
