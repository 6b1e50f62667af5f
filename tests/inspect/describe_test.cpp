// Describe: each pattern by name, on matrices made to show it and on real attention.
#include <cmath>
#include <numeric>

#include "heed/attention/reference/forward.hpp"
#include "heed/inspect/describe.hpp"
#include "heed/inspect/matrix_of.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/strided.hpp"
#include "heed/mask/window.hpp"
#include "heed/score/alibi.hpp"
#include "support/catch.hpp"

namespace {

using Eigen::MatrixXd;
using heed::inspect::describe;

MatrixXd even_causal(int n) {
  MatrixXd w = MatrixXd::Zero(n, n);
  for (int i = 0; i < n; ++i) w.row(i).head(i + 1).setConstant(1.0 / (i + 1));
  return w;
}

TEST_CASE("the four patterns have their names") {
  CHECK(describe(MatrixXd(MatrixXd::Constant(8, 8, 0.125))).text == "uniform");
  CHECK(describe(even_causal(8)).text == "causal, uniform");
  const MatrixXd diagonal = 0.7 * MatrixXd::Identity(8, 8) + MatrixXd::Constant(8, 8, 0.3 / 8);
  CHECK(describe(diagonal).text == "diagonal");
  MatrixXd sparse = MatrixXd::Constant(8, 8, 0.01);
  sparse.col(3).setConstant(0.93);
  CHECK(describe(sparse).text == "sparse");
}

TEST_CASE("a mild preference is not uniform") {
  MatrixXd w = MatrixXd::Constant(6, 6, 0.1);
  for (int i = 0; i < 6; ++i) w(i, (i + 1) % 6) = w(i, (i + 4) % 6) = 0.3;
  CHECK(describe(w).text == "mixed");
}

TEST_CASE("a matrix without a pattern is mixed") {
  MatrixXd w(8, 8);
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) w(i, j) = (i * 3 + j * 5) % 7 < 3 ? 6 : 1;
    w.row(i) /= w.row(i).sum();
  }
  const auto d = describe(w);
  CHECK(d.text == "mixed");
  CHECK(d.rows == 8);
}

TEST_CASE("the measures are what they say") {
  const auto d = describe(even_causal(6));
  CHECK(d.diagonal == Approx((1 + 1 / 2.0 + 1 / 3.0 + 1 / 4.0 + 1 / 5.0 + 1 / 6.0) / 6));
  CHECK(d.evenness == Approx(1));
  CHECK(d.top_two == Approx((2 / 5.0 + 2 / 6.0) / 2));
  CHECK(d.later == 0);
  CHECK(d.earlier == 0.5);
}

TEST_CASE("rows need not sum to 1: dropped weights show the same pattern") {
  const auto d = describe(MatrixXd(MatrixXd::Constant(4, 6, 0.7)));
  CHECK(d.evenness == Approx(1));
  CHECK(d.top_two == Approx(1 / 3.0));
}

TEST_CASE("causal is aligned to the end, and a diagonal alone is not causal") {
  MatrixXd w = MatrixXd::Zero(2, 4);
  w << .4, .3, .3, 0, .25, .25, .25, .25;
  CHECK(describe(w).is_causal);
  w(0, 3) = 0.1;
  CHECK_FALSE(describe(w).is_causal);
  CHECK(describe(MatrixXd(MatrixXd::Identity(5, 5))).text == "diagonal");
}

TEST_CASE("attention under a causal mask is causal, without one it is not") {
  MatrixXd x(7, 4);
  for (int i = 0; i < 28; ++i) x.data()[i] = std::sin(1.7 * i);
  CHECK(describe(heed::reference::attention(x, x, x, heed::mask::causal()).weights).is_causal);
  CHECK_FALSE(describe(heed::reference::attention(x, x, x).weights).is_causal);
}

TEST_CASE("thresholds can be moved") {
  const MatrixXd w = 0.4 * MatrixXd::Identity(8, 8) + MatrixXd::Constant(8, 8, 0.6 / 8);
  CHECK_FALSE(describe(w).is_diagonal);
  CHECK(describe(w, {.diagonal = 0.4}).is_diagonal);
}

TEST_CASE("fully masked and broken rows are counted, not averaged") {
  MatrixXd w = MatrixXd::Constant(4, 4, 0.25);
  w.row(1).setZero();
  w(2, 0) = std::nan("");
  const auto d = describe(w);
  CHECK(d.rows == 2);
  CHECK(d.fully_masked == 1);
  CHECK(d.broken == 1);
  CHECK(d.text == "uniform");
}

TEST_CASE("empty and tiny matrices have no pattern to speak of") {
  CHECK(describe(MatrixXd(0, 0)).text == "empty");
  CHECK(describe(MatrixXd(3, 0)).text == "empty");
  CHECK(describe(MatrixXd(MatrixXd::Ones(1, 1))).text == "mixed");
  CHECK(describe(MatrixXd(MatrixXd::Constant(2, 2, std::nan("")))).text == "not finite");
}

TEST_CASE("masks and scores become the matrices they stand for") {
  heed::Shape shape;
  shape.Hq = 8, shape.Lq = 64, shape.Lk = 64;
  const auto ones_of = [&](const auto& mask) {
    const auto matrix = heed::inspect::mask_matrix(mask, shape);
    return std::accumulate(matrix.data(), matrix.data() + 64 * 64, 0.0F);
  };
  CHECK(ones_of(heed::mask::local(16)) == 1016);
  CHECK(ones_of(heed::mask::strided(8)) == 512);
  CHECK(ones_of(heed::mask::causal()) == 2080);
  const auto lambda = heed::inspect::mask_matrix([](int i, int j) { return i == j + 1; }, shape);
  CHECK(lambda(5, 4) == 1);
  CHECK(lambda(4, 5) == 0);
  const auto slopes = heed::score::alibi_slopes(8);
  const auto bias = heed::inspect::score_matrix(heed::score::alibi(slopes), shape, 0, 1);
  CHECK(bias(10, 14) == -1);
  CHECK(bias(3, 3) == 0);
  CHECK(heed::inspect::score_matrix([](float s, int, int j) { return s + float(j); }, shape, 0, 0,
                                    2)(0, 3) == 5);
  shape.Hq = 4;
  CHECK_THROWS_AS(heed::inspect::score_matrix(heed::score::alibi(slopes), shape), heed::Error);
}

}  // namespace
