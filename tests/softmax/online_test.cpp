#include "heed/softmax/online.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"

using heed::softmax::merge;
using heed::softmax::Row;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

// The row of some scores, by the definition.
template <class R>
Row<R> row_of(const std::vector<double>& scores) {
  Row<R> row;
  for (const double s : scores) row.max = std::max(row.max, static_cast<R>(s));
  for (const double s : scores) row.sum += std::exp(static_cast<R>(s) - row.max);
  return row;
}

}  // namespace

TEMPLATE_TEST_CASE("the lse of a row is the natural log of its sum of exp", "", float, double) {
  const std::vector<double> scores = {0.5, -1.25, 3, 2.75, -8};
  double sum = 0;
  for (const double s : scores) sum += std::exp(s);
  const double lse = static_cast<double>(row_of<TestType>(scores).lse());
  CHECK(lse == Approx(std::log(sum)).epsilon(sizeof(TestType) == 4 ? 1e-6 : 1e-14));
}

TEMPLATE_TEST_CASE("a row that has seen nothing is fully masked", "", float, double) {
  const Row<TestType> row;
  CHECK(row.fully_masked());
  CHECK(static_cast<double>(row.lse()) == -inf);
  CHECK_FALSE(row_of<TestType>({-1e30}).fully_masked());
}

TEMPLATE_TEST_CASE("rows merge to the row of all their keys, in any cut", "", float, double) {
  const std::vector<double> scores = {0.5, -1.25, 300, 2.75, -8, 299.5, 17};
  const double whole = static_cast<double>(row_of<TestType>(scores).lse());
  for (std::size_t cut = 0; cut <= scores.size(); ++cut) {
    const auto middle = scores.begin() + static_cast<std::ptrdiff_t>(cut);
    const auto a = row_of<TestType>({scores.begin(), middle});
    const auto b = row_of<TestType>({middle, scores.end()});
    CHECK(static_cast<double>(merge(a, b).row.lse()) == Approx(whole).epsilon(1e-6));
    CHECK(merge(a, b).row.max == merge(b, a).row.max);
  }
}

TEMPLATE_TEST_CASE("fully masked rows merge to a fully masked row, and change no other", "", float,
                   double) {
  const Row<TestType> none;
  CHECK(merge(none, none).row.fully_masked());
  const auto row = row_of<TestType>({1, 2});
  CHECK(merge(row, none).row.sum == row.sum);
  CHECK(merge(none, row).row.max == row.max);
}

#if !defined(__FAST_MATH__)  // which promises nothing about NaN
TEST_CASE("NaN in either row makes the merged row NaN") {
  const Row<float> bad{1.0f, std::nanf("")};
  CHECK(std::isnan(merge(bad, Row<float>{}).row.lse()));
  CHECK(std::isnan(merge(row_of<float>({3}), bad).row.lse()));
}
#endif
