#include "heed/position/sinusoidal.hpp"

#include <cmath>

#include "support/catch.hpp"

namespace heed::position {

TEST_CASE("sinusoidal follows the paper's formula, for odd dimensions too") {
  for (const Index D : {1, 2, 7, 64}) {
    const auto pe = sinusoidal(100, D, 3);
    REQUIRE(pe.dimension(0) == 100);
    REQUIRE(pe.dimension(1) == D);
    for (Index i = 0; i < 100; ++i) {
      for (Index d = 0; d < D; ++d) {
        const double rate =
            std::exp(-std::log(10000.0) * static_cast<double>(d - d % 2) / static_cast<double>(D));
        const double angle = static_cast<double>(i + 3) * rate;
        const double expected = d % 2 == 0 ? std::sin(angle) : std::cos(angle);
        REQUIRE(std::abs(static_cast<double>(pe(i, d)) - expected) < 1e-6);
      }
    }
  }
}

TEST_CASE("position 0 is 0, 1, 0, 1 …, and any position has an encoding") {
  const auto zero = sinusoidal<double>(1, 6);
  for (Index d = 0; d < 6; ++d) REQUIRE(zero(0, d) == (d % 2 == 0 ? 0.0 : 1.0));
  const auto far = sinusoidal<double>(1, 2, 1000000);
  REQUIRE(far(0, 0) == Approx(std::sin(1e6)).epsilon(1e-12));
  REQUIRE(sinusoidal(0, 4).size() == 0);
}

TEST_CASE("sinusoidal refuses what is no shape") {
  REQUIRE_THROWS_AS(sinusoidal(-1, 4), Error);
  REQUIRE_THROWS_AS(sinusoidal(4, 0), Error);
}

}  // namespace heed::position
