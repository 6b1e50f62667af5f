// Layer norm against loops.
#include "heed/nn/layer_norm.hpp"

#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
using heed::Tensor3;
namespace nn = heed::nn;

TEMPLATE_TEST_CASE("layer norm: equals the loops", "", float, double) {
  const double tolerance = sizeof(TestType) == 4 ? 1e-6 : 1e-13;
  for (const Index features : {1, 2, 7, 8, 9, 384}) {
    for (const double eps : {1e-12, 1e-5, 0.5}) {
      nn::LayerNorm<TestType> norm(features, {.eps = eps});
      scatter(norm, 1, 3);
      const auto x = tokens<TestType>(2, 67, features, 5);
      const auto y = norm.forward(x);
      for (Index b = 0; b < 2; ++b) {
        CHECK(difference(y, b, layer_norm(rows_of(x, b), weights_of(norm), "", eps)) < tolerance);
      }
    }
  }
}

TEST_CASE("layer norm: rows begin with mean 0 and variance 1, even far from 0") {
  const nn::LayerNorm<float> norm(64);
  auto x = tokens<float>(1, 5, 64, 5);
  x = x + 1000.0f;
  const auto y = norm.forward(x);
  for (const auto& row : rows_of(y, 0)) {
    double mean = 0, square = 0;
    for (const double value : row) mean += value / 64, square += value * value / 64;
    CHECK(std::abs(mean) < 1e-6);
    CHECK(square == Approx(1).epsilon(1e-4));
  }
}

TEST_CASE("layer norm: in place, on any number of threads and in any company, the same bits") {
  nn::LayerNorm<float> norm(37);
  scatter(norm, 1, 3);
  auto x = tokens<float>(3, 100, 37, 5);
  const auto y = norm.forward(x, {.threads = 1});
  for (const int threads : {2, 3, 4, 7}) CHECK(same_bits(norm.forward(x, {.threads = threads}), y));
  Tensor3<float> alone(1, 1, 37);
  std::copy_n(x.data() + 41 * 37, 37, alone.data());
  const auto one = norm.forward(alone);
  for (Index j = 0; j < 37; ++j) CHECK(one(0, 0, j) == y(0, 41, j));
  const auto in_place = heed::mutable_view_of(x);
  norm.forward_into(in_place, in_place.as_const(), {});
  CHECK(same_bits(x, y));
}

TEST_CASE("layer norm: refuses a bad eps and a wrong number of features") {
  CHECK_THROWS_AS(nn::LayerNorm<float>(4, {.eps = -1e-5}), heed::Error);
  CHECK_THROWS_AS(nn::LayerNorm<float>(4, {.eps = std::nan("")}), heed::Error);
  const nn::LayerNorm<float> norm(4);
  const auto text = error_of([&] { norm.forward(Tensor3<float>(2, 3, 7)); });
  CHECK(text ==
        "heed::nn::LayerNorm::forward: x has 7 features but the module takes 4 (x [2,3,7])");
}
