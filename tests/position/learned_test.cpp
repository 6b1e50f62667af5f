// Learned positions: rows of a table, and adding positions to tokens.
#include "heed/position/learned.hpp"

#include "heed/core/eigen.hpp"
#include "heed/position/sinusoidal.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"

using heed::Index;
using heed::test::error_of;
namespace position = heed::position;

namespace {

heed::Tensor2<float> counted_table(Index L, Index D) {
  heed::Tensor2<float> table(L, D);
  for (Index n = 0; n < table.size(); ++n) table.data()[n] = static_cast<float>(n);
  return table;
}

}  // namespace

TEST_CASE("learned: rows of the table itself") {
  const auto table = counted_table(6, 3);
  const auto rows = position::learned(table, 2, 3);
  CHECK(rows.extent[0] == 2);
  CHECK(rows.extent[1] == 3);
  CHECK(rows.data == table.data() + 9);
  CHECK(rows(1, 2) == table(4, 2));
  CHECK(position::learned(table, 6).extent[0] == 6);
  CHECK(position::learned(table, 0, 6).empty());
  const Eigen::MatrixXf columns = Eigen::MatrixXf::Random(6, 3);
  CHECK(position::learned(columns, 2, 3)(1, 2) == columns(4, 2));
}

TEST_CASE("learned: a position past the table is an error with both numbers") {
  const auto table = counted_table(512, 2);
  CHECK(error_of([&] { position::learned(table, 20, 500); }) ==
        "heed::position::learned: 20 positions from 500 are not in a table of 512 (table "
        "[512,2])");
  CHECK_THROWS_AS(position::learned(table, 513), heed::Error);
  CHECK_THROWS_AS(position::learned(table, 1, 512), heed::Error);
  CHECK_THROWS_AS(position::learned(table, 1, -1), heed::Error);
  CHECK_THROWS_AS(position::learned(table, -1), heed::Error);
  CHECK_THROWS_AS(position::learned(table, 1, heed::Index(1) << 62), heed::Error);
}

TEMPLATE_TEST_CASE("add_into: every batch gets the positions", "", float, double, heed::Half) {
  heed::Tensor3<TestType> x(2, 4, 3);
  x.setConstant(TestType(10));
  const auto table = counted_table(6, 3);
  position::add_into(x, position::learned(table, 4, 1));
  for (Index b = 0; b < 2; ++b) {
    for (Index i = 0; i < 4; ++i) {
      for (Index d = 0; d < 3; ++d) {
        CHECK(static_cast<float>(x(b, i, d)) == 10 + table(1 + i, d));
      }
    }
  }
  Eigen::MatrixXd matrix = Eigen::MatrixXd::Zero(4, 3);
  position::add_into(matrix, position::learned(table, 4));
  CHECK(matrix(3, 2) == 11);
}

TEST_CASE("add_into: shapes that disagree") {
  heed::Tensor3<float> x(2, 4, 3);
  x.setZero();
  CHECK(error_of([&] { position::add_into(x, counted_table(5, 3)); }) ==
        "heed::position::add_into: positions are not [L,D] of x (x [2,4,3], positions [5,3])");
  CHECK_THROWS_AS(position::add_into(x, counted_table(4, 2)), heed::Error);
  const auto shared = heed::view(x.data(), {4, 3}, {2, 1});
  CHECK(error_of([&] { position::add_into(shared, counted_table(4, 3)); }) ==
        "heed::position::add_into: x repeats elements, or seems to (a stride of 0, or rows that "
        "overlap; x [4,3])");
  CHECK_THROWS_AS(position::sinusoidal_into(shared), heed::Error);
}
