#include "heed/score/relative.hpp"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/score/to_device.hpp"
#include "support/catch.hpp"
#include "support/copies.hpp"
#include "support/derivative.hpp"
#include "support/error.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::score::relative;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::scores_shape;

static_assert(std::is_trivially_copyable_v<heed::score::BoundRelative<float>>);

template <class Tensor>
Tensor numbered(Tensor tensor) {
  using T = typename Tensor::Scalar;
  for (Index n = 0; n < tensor.size(); ++n) tensor.data()[n] = static_cast<T>(n * n % 37 - 18);
  return tensor;
}

// True where a row of `keys` scores, modified at once, is `value` of each.
template <class Bound>
bool rows_agree(const Bound& bound, int i, int j, int keys) {
  std::vector<float> row(static_cast<std::size_t>(keys), 0.5f);
  heed::score::modify(bound, row.data(), i, j, keys);
  for (int c = 0; c < keys; ++c) {
    if (row[static_cast<std::size_t>(c)] != bound.value(0.5f, i, j + c)) return false;
  }
  return true;
}

// Checks that `table` adds table(h, clip(j − p, −k, k) + k).
template <class Table>
void check_table(const Table& table, Index Lq, Index Lk) {
  const auto shape = scores_shape(2, 3, Lq, Lk);
  const auto score = relative(table);
  heed::score::check(score, shape);
  const Index most = table.dimension(1) / 2;
  for (int h = 0; h < 3; ++h) {
    const auto bound = heed::score::bind(score, shape, 1, h);
    for (int i = 0; i < Lq; ++i) {
      for (int j = 0; j < Lk; ++j) {
        CAPTURE(most, Lq, Lk, h, i, j);
        const Index clipped = std::clamp(j - (i + Lk - Lq), -most, most);
        const auto added =
            static_cast<double>(table(table.dimension(0) == 1 ? 0 : h, clipped + most));
        REQUIRE(bound.value(0.25, i, j) == 0.25 + added);
        REQUIRE(bound.value(0.25f, i, j) == static_cast<float>(0.25 + added));
        REQUIRE(heed::test::derivative_error(bound, 0.25, i, j) < 1e-9);
        for (int keys = 1; j + keys <= Lk; ++keys) REQUIRE(rows_agree(bound, i, j, keys));
      }
    }
  }
}

}  // namespace

TEST_CASE("each distance has a number, those beyond the table its last") {
  for (const Index most : {0, 1, 3, 20}) {
    for (const Index Lq : {1, 5, 9}) {
      for (const Index Lk : {1, 6, 9}) {
        check_table(numbered(heed::Tensor2<float>(3, 2 * most + 1)), Lq, Lk);
        check_table(numbered(heed::Tensor2<double>(1, 2 * most + 1)), Lq, Lk);
      }
    }
  }
}

TEST_CASE("tables of half types, and by columns") {
  check_table(numbered(heed::Tensor2<heed::Half>(3, 5)), 6, 8);
  check_table(numbered(heed::Tensor2<heed::BFloat16>(1, 5)), 6, 8);
  check_table(numbered(Eigen::Tensor<float, 2>(3, 7)), 8, 6);
}

TEST_CASE("a table's −inf masks whatever the score is") {
  heed::Tensor2<float> table(1, 3);
  table.setZero();
  table(0, 2) = -std::numeric_limits<float>::infinity();  // later keys
  const auto bound = heed::score::bind(relative(table), scores_shape(3, 3), 0, 0);
  std::vector<float> row = {1, 2, std::numeric_limits<float>::quiet_NaN()};
  heed::score::modify(bound, row.data(), 1, 0, 3);
  CHECK(row[1] == 2);
  CHECK(heed::is_masked(row[2]));
  CHECK(heed::is_masked(bound.value(row[2], 0, 1)));
}

TEST_CASE("a relative score answers the same from copied memory") {
  heed::Tensor2<float> table = numbered(heed::Tensor2<float>(2, 5));
  heed::test::Copies arena;
  const auto there = heed::score::to_device(relative(table), arena);
  const float before = table(1, 4);
  table(1, 4) = 77;
  CHECK(heed::score::bind(there, scores_shape(1, 2, 4, 4), 0, 1).value(0.0f, 0, 3) == before);
  CHECK(arena.count() == 1);
}

TEST_CASE("relative knows the farthest positions") {
  using heed::test::longest;
  heed::Tensor2<float> table(1, 3);
  table(0, 0) = 1, table(0, 1) = 2, table(0, 2) = 3;
  const auto square = heed::score::bind(relative(table), scores_shape(longest, longest), 0, 0);
  CHECK(square.value(0.0, 0, longest - 1) == 3);
  CHECK(square.value(0.0, longest - 1, 0) == 1);
  CHECK(square.value(0.0, longest - 1, longest - 1) == 2);
  CHECK(rows_agree(square, longest - 1, longest - 4, 4));
  CHECK(rows_agree(square, 0, longest - 4, 4));
  const auto one_query = heed::score::bind(relative(table), scores_shape(1, longest), 0, 0);
  CHECK(one_query.value(0.0, 0, 0) == 1);
  CHECK(rows_agree(one_query, 0, 0, 5));
  const auto one_key = heed::score::bind(relative(table), scores_shape(longest, 1), 0, 0);
  CHECK(one_key.value(0.0, 0, 0) == 3);
  CHECK(one_key.value(0.0, longest - 1, 0) == 2);
}

TEST_CASE("a relative table has a middle, and a row per query head or one") {
  heed::Tensor2<float> even(4, 8), odd(4, 9);
  even.setZero(), odd.setZero();
  CHECK_THAT(error_of([&] { relative(even); }),
             ContainsSubstring("heed::score::relative: an even number of distances has no middle "
                               "(table [4,8])"));
  const heed::Tensor2<float> empty(4, 0);
  CHECK_THAT(error_of([&] { relative(empty); }), ContainsSubstring("[4,0]"));
  heed::score::check(relative(odd), scores_shape(1, 4, 2, 2));
  CHECK_THAT(error_of([&] { heed::score::check(relative(odd), scores_shape(1, 3, 2, 2)); }),
             ContainsSubstring("heed::score::relative: a table [4,9] for 3 query heads"));
  const float* nothing = nullptr;
  CHECK_THAT(error_of([&] {
               relative(heed::view(nothing, {4, 9}));
             }),
             ContainsSubstring("table has no data"));
}
