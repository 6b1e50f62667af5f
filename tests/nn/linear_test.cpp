// y = x Wᵀ + b: against loops, and bits that depend on nothing but the token.
#include "heed/nn/linear.hpp"

#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
using heed::Tensor3;
namespace nn = heed::nn;

TEMPLATE_TEST_CASE("linear: equals the loops for any sizes", "", float, double) {
  const double tolerance = sizeof(TestType) == 4 ? 2e-6 : 1e-14;
  for (const Index in : {1, 3, 16, 59}) {
    for (const Index out : {1, 2, 17, 64}) {
      for (const Index L : {1, 23, 24, 25, 61}) {
        nn::Linear<TestType> layer(in, out);
        scatter(layer, 0.2, 3);
        const auto x = tokens<TestType>(2, L, in, 5);
        const auto y = layer.forward(x);
        REQUIRE(y.dimension(0) == 2);
        REQUIRE(y.dimension(1) == L);
        REQUIRE(y.dimension(2) == out);
        for (Index b = 0; b < 2; ++b) {
          CHECK(difference(y, b, linear(rows_of(x, b), weights_of(layer), "")) < tolerance);
        }
      }
    }
  }
}

TEST_CASE("linear: without a bias nothing is added") {
  nn::Linear<float> layer(4, 3, nn::Bias::no);
  scatter(layer, 1, 1);
  Tensor3<float> zero(1, 2, 4);
  zero.setZero();
  const auto y = layer.forward(zero);
  for (Index n = 0; n < y.size(); ++n) CHECK(y.data()[n] == 0);
  CHECK(weights_of(layer).size() == 1);
}

TEST_CASE("linear: no bit depends on the number of threads") {
  nn::Linear<float> layer(384, 129);
  scatter(layer, 1, 2);
  const auto x = tokens<float>(3, 77, 384, 1);
  const auto one = layer.forward(x, {.threads = 1});
  for (const int threads : {2, 3, 4, 7}) {
    CHECK(same_bits(layer.forward(x, {.threads = threads}), one));
  }
}

TEST_CASE("linear: a token's bits do not depend on what else is in the batch or where it is") {
  for (const Index in : {7, 384, 1536}) {
    for (const Index out : {1, 13, 384}) {
      nn::Linear<float> layer(in, out);
      scatter(layer, 1, 4);
      const auto x = tokens<float>(1, 53, in, 9);
      const auto together = layer.forward(x);
      for (Index i = 0; i < 53; ++i) {
        Tensor3<float> alone(1, 1, in);
        std::copy_n(x.data() + i * in, in, alone.data());
        const auto y = layer.forward(alone);
        bool same = true;
        for (Index j = 0; j < out; ++j) same = same && y(0, 0, j) == together(0, i, j);
        CHECK(same);
      }
    }
  }
}

TEST_CASE("linear: a NaN in one token stays in that token") {
  nn::Linear<float> layer(8, 5);
  scatter(layer, 1, 4);
  auto x = tokens<float>(1, 3, 8, 9);
  const auto clean = layer.forward(x);
  x(0, 1, 4) = std::nanf("");
  const auto y = layer.forward(x);
  for (Index j = 0; j < 5; ++j) {
    CHECK(y(0, 0, j) == clean(0, 0, j));
    CHECK(heed::is_nan(y(0, 1, j)));
    CHECK(y(0, 2, j) == clean(0, 2, j));
  }
}

TEST_CASE("linear: matrices, maps, views with gaps and column-major tensors give the same bits") {
  nn::Linear<float> layer(6, 5);
  scatter(layer, 1, 4);
  const auto x = tokens<float>(1, 30, 6, 9);
  const auto y = layer.forward(x);
  const auto matches = [&](const auto& other) {
    bool same = true;
    for (Index i = 0; i < 30; ++i) {
      for (Index j = 0; j < 5; ++j) same = same && other(i, j) == y(0, i, j);
    }
    return same;
  };
  Eigen::MatrixXf columns(30, 6);
  Eigen::MatrixXf wide = Eigen::MatrixXf::Zero(60, 12);
  for (Index i = 0; i < 30; ++i) {
    for (Index j = 0; j < 6; ++j) wide(2 * i, 2 * j) = columns(i, j) = x(0, i, j);
  }
  const Eigen::MatrixXf from_columns = layer.forward(columns);
  CHECK(matches(from_columns));
  CHECK(matches(layer.forward(heed::view(wide.data(), {30, 6}, {2, 120}))));
}

TEST_CASE("linear: empty inputs give empty results") {
  nn::Linear<float> layer(6, 5);
  CHECK(layer.forward(Tensor3<float>(0, 3, 6)).size() == 0);
  CHECK(layer.forward(Tensor3<float>(2, 0, 6)).size() == 0);
}

TEST_CASE("linear: a wrong number of features is an error with both") {
  const nn::Linear<float> layer(6, 5);
  const auto text = error_of([&] { layer.forward(Tensor3<float>(2, 3, 7)); });
  CHECK(text == "heed::nn::Linear::forward: x has 7 features but the module takes 6 (x [2,3,7])");
}
