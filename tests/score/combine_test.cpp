#include "heed/score/combine.hpp"

#include <cmath>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/score/alibi.hpp"
#include "heed/score/bias.hpp"
#include "heed/score/chain_rule.hpp"
#include "heed/score/soft_cap.hpp"
#include "support/catch.hpp"
#include "support/derivative.hpp"
#include "support/error.hpp"
#include "support/scores.hpp"

namespace {

using heed::score::alibi;
using heed::score::bias;
using heed::score::soft_cap;
using heed::test::ContainsSubstring;
using heed::test::scores_shape;

const std::vector<float> slopes = {0.5f, 3.0f};
const auto shape = scores_shape(1, 2, 4, 4);

}  // namespace

TEST_CASE("scores apply from left to right") {
  const auto cap_first = heed::score::bind(soft_cap(2) >> alibi(slopes), shape, 0, 1);
  const auto cap_last = heed::score::bind(alibi(slopes) >> soft_cap(2), shape, 0, 1);
  const double s = 1.5;
  CHECK(cap_first.value(s, 0, 2) == Approx(2 * std::tanh(s / 2) - 6));
  CHECK(cap_last.value(s, 0, 2) == Approx(2 * std::tanh((s - 6) / 2)));
}

TEST_CASE("a chain modifies a row as it modifies each of its scores") {
  heed::Tensor2<float> added(4, 4);
  for (heed::Index n = 0; n < 16; ++n) added.data()[n] = static_cast<float>(n * n % 7) - 3;
  const auto bound = heed::score::bind(soft_cap(2) >> bias(added) >> alibi(slopes), shape, 0, 1);
  const std::vector<float> before = {0.25f, -3, 7, 1.5f};
  auto row = before;
  heed::score::modify(bound, row.data(), 2, 0, 4);
  for (int j = 0; j < 4; ++j) {
    const auto at = static_cast<std::size_t>(j);
    CHECK(row[at] == Approx(bound.value(before[at], 2, j)).epsilon(1e-6));
  }
}

TEST_CASE("the derivative of a chain is the product along it") {
  const auto chain = soft_cap(3) >> alibi(slopes) >> soft_cap(2);
  const auto grouped = soft_cap(3) >> (alibi(slopes) >> soft_cap(2));
  const auto bound = heed::score::bind(chain, shape, 0, 1);
  const auto other = heed::score::bind(grouped, shape, 0, 1);
  for (const double s : {-5.0, -0.5, 0.0, 2.0, 9.0}) {
    for (int j = 0; j < 4; ++j) {
      CAPTURE(s, j);
      CHECK(heed::test::derivative_error(bound, s, 1, j) < 1e-8);
      CHECK(other.value(s, 1, j) == bound.value(s, 1, j));
      CHECK(other.derivative(s, 1, j) == Approx(bound.derivative(s, 1, j)));
    }
  }
}

TEST_CASE("a row of a chain is modified together with its slopes") {
  heed::Tensor2<float> added(4, 4);
  for (heed::Index n = 0; n < 16; ++n) added.data()[n] = static_cast<float>(n * n % 7) - 3;
  const auto check = [](const auto& score) {
    const auto bound = heed::score::bind(score, shape, 0, 1);
    const std::vector<float> before = {0.25f, -3, 7, 1.5f};
    auto row = before;
    std::vector<float> slopes_of_row(4, -1.0f);
    heed::score::modify_with_slopes<4>(bound, row.data(), slopes_of_row.data(), 2, 0, 4);
    for (int j = 0; j < 4; ++j) {
      const auto at = static_cast<std::size_t>(j);
      CAPTURE(j, before[at]);
      CHECK(row[at] == Approx(bound.value(before[at], 2, j)).epsilon(1e-6));
      CHECK(slopes_of_row[at] ==
            Approx(bound.derivative(before[at], 2, j)).epsilon(1e-5).margin(1e-6));
    }
  };
  check(soft_cap(2));
  check(alibi(slopes) >> bias(added));
  check(soft_cap(3) >> bias(added));
  check(alibi(slopes) >> soft_cap(2));
  check(soft_cap(3) >> alibi(slopes) >> soft_cap(2));
  check(soft_cap(3) >> (bias(added) >> soft_cap(2)));
}

TEST_CASE("a chain checks each of its scores") {
  const auto many = scores_shape(1, 5, 4, 4);
  for (const auto& text :
       {heed::test::error_of([&] { heed::score::check(soft_cap(2) >> alibi(slopes), many); }),
        heed::test::error_of([&] { heed::score::check(alibi(slopes) >> soft_cap(2), many); })}) {
    CHECK_THAT(text, ContainsSubstring("2 slopes for 5 query heads"));
  }
}

TEST_CASE("a callable is a link of a chain") {
  const auto doubled = [](float s, int, int) { return 2 * s; };
  const auto placed = [](float s, int b, int h, int i, int j) {
    return s + static_cast<float>(1000 * b + 100 * h + 10 * i + j);
  };
  const auto bound = heed::score::bind(soft_cap(2) >> doubled >> placed, shape, 0, 1);
  CHECK(bound.value(0.5f, 2, 3) == Approx(4 * std::tanh(0.25f) + 123));
  static_assert(!heed::score::DifferentiableScore<decltype(bound)>, "lambdas are forward only");
}
