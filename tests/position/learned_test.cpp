#include "heed/position/learned.hpp"

#include "heed/core/eigen.hpp"
#include "support/catch.hpp"

namespace heed::position {

TEST_CASE("learned positions are rows of the table") {
  const Tensor2<float> table = Tensor2<float>(12, 5).setRandom();
  const auto rows = learned(table, 4, 7);
  REQUIRE(rows.extent[0] == 4);
  REQUIRE(rows.extent[1] == 5);
  for (Index i = 0; i < 4; ++i) {
    for (Index d = 0; d < 5; ++d) REQUIRE(rows(i, d) == table(7 + i, d));
  }
  REQUIRE(learned(table, 12).extent[0] == 12);
  REQUIRE(learned(table, 0, 12).extent[0] == 0);
  const Eigen::MatrixXf columns = Eigen::MatrixXf::Random(12, 5);
  REQUIRE(learned(columns, 2, 3)(1, 4) == columns(4, 4));
}

TEST_CASE("a position past the table is refused with both numbers") {
  const Tensor2<float> table = Tensor2<float>(12, 5).setRandom();
  REQUIRE_THROWS_WITH(learned(table, 13),
                      Catch::Matchers::Contains("0 … 12") && Catch::Matchers::Contains("12"));
  REQUIRE_THROWS_AS(learned(table, 1, 12), Error);
  REQUIRE_THROWS_AS(learned(table, 1, -1), Error);
  REQUIRE_THROWS_AS(learned(table, -1, 3), Error);
}

}  // namespace heed::position
