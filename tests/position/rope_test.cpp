#include "heed/position/rope.hpp"

#include <cmath>

#include "support/catch.hpp"

namespace heed::position {
namespace {

Tensor4<double> random_tensor(Index B, Index H, Index L, Index D) {
  return Tensor4<double>(B, H, L, D).setRandom();
}

// The documents' formula: x·cos + rotate_half(x)·sin, or the paper's pairs.
double by_formula(const Tensor4<double>& x, Index i, Index d, Index r, const RopeOptions& o) {
  if (d >= r) return x(1, 2, i, d);
  const bool split = o.pairs == Pairs::half_split;
  const Index pair = split ? d % (r / 2) : d / 2;
  const bool first = split ? d < r / 2 : d % 2 == 0;
  const Index other = split ? (first ? d + r / 2 : d - r / 2) : (first ? d + 1 : d - 1);
  const double angle = static_cast<double>(i + o.offset) /
                       std::pow(o.base, 2.0 * static_cast<double>(pair) / static_cast<double>(r));
  const double sign = first ? -1 : 1;
  return x(1, 2, i, d) * std::cos(angle) + sign * x(1, 2, i, other) * std::sin(angle);
}

}  // namespace

TEST_CASE("rope follows the formula: both kinds of pairs, partial, offset, any base") {
  const auto x = random_tensor(2, 3, 9, 12);
  for (const auto pairs : {Pairs::half_split, Pairs::interleaved}) {
    for (const Index rotary_dim : {0, 2, 8, 12}) {
      for (const double base : {10000.0, 500000.0, 2.0}) {
        const RopeOptions options{base, pairs, rotary_dim, 5};
        const auto turned = rope(x, options);
        for (Index i = 0; i < 9; ++i) {
          for (Index d = 0; d < 12; ++d) {
            const Index r = rotary_dim == 0 ? 12 : rotary_dim;
            REQUIRE(turned(1, 2, i, d) == Approx(by_formula(x, i, d, r, options)).margin(1e-12));
          }
        }
      }
    }
  }
}

TEST_CASE("rope keeps norms, and dots depend on the distance alone") {
  const Tensor2<double> q = Tensor2<double>(1, 16).setRandom();
  const Tensor2<double> k = Tensor2<double>(1, 16).setRandom();
  const auto dot = [&](Index i, Index j) {
    const auto a = rope(q, {.offset = i});
    const auto b = rope(k, {.offset = j});
    double sum = 0;
    for (Index d = 0; d < 16; ++d) sum += a(0, d) * b(0, d);
    return sum;
  };
  REQUIRE(dot(7, 3) == Approx(dot(104, 100)).epsilon(1e-10));
  REQUIRE(dot(7, 3) == Approx(dot(1000004, 1000000)).epsilon(1e-8));
  REQUIRE(std::abs(dot(7, 3) - dot(7, 4)) > 1e-6);
  const auto turned = rope(q, {.offset = 1234567});
  double before = 0;
  double after = 0;
  for (Index d = 0; d < 16; ++d) {
    before += q(0, d) * q(0, d);
    after += turned(0, d) * turned(0, d);
  }
  REQUIRE(after == Approx(before).epsilon(1e-12));
}

TEST_CASE("rope in place, on any rank and layout, and on half types") {
  const auto x = random_tensor(2, 3, 9, 8);
  const auto expected = rope(x);
  auto in_place = x;
  rope_into(in_place, in_place);
  const Tensor4<double> x_blhd = x.shuffle(Eigen::array<int, 4>{0, 2, 1, 3});
  const auto blhd_result = rope(blhd(x_blhd));
  const Tensor3<double> x3 = x.chip(2, 1);
  const auto rank_3 = rope(x3);
  for (Index i = 0; i < 9; ++i) {
    for (Index d = 0; d < 8; ++d) {
      REQUIRE(in_place(1, 2, i, d) == expected(1, 2, i, d));
      REQUIRE(blhd_result(1, i, 2, d) == expected(1, 2, i, d));
      REQUIRE(rank_3(1, i, d) == expected(1, 2, i, d));
    }
  }
  const Tensor4<BFloat16> halves = x.cast<BFloat16>();
  REQUIRE(std::abs(static_cast<double>(rope(halves)(1, 2, 8, 3)) - expected(1, 2, 8, 3)) < 0.02);
}

TEST_CASE("rope refuses an odd number of turning dimensions, and another shape") {
  const auto x = random_tensor(1, 1, 2, 7);
  REQUIRE_THROWS_AS(rope(x), Error);
  REQUIRE_THROWS_AS(rope(x, {.rotary_dim = 8}), Error);
  REQUIRE_THROWS_AS(rope(x, {.base = 0, .rotary_dim = 6}), Error);
  REQUIRE(rope(x, {.rotary_dim = 6}).size() == x.size());
  auto other = random_tensor(1, 1, 3, 7);
  REQUIRE_THROWS_AS(rope_into(other, x, {.rotary_dim = 6}), Error);
}

}  // namespace heed::position
