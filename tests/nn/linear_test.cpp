// y = x Wᵀ + b: against loops, and bits that depend on nothing but the token.
#include "heed/nn/linear.hpp"

#include "heed/nn/feed_forward.hpp"
#include "heed/nn/multi_head_attention.hpp"
#include "heed/nn/prepare.hpp"
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
  for (const int threads : {2, 3, 4, 7, 8}) {
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

TEMPLATE_TEST_CASE("linear: half types are summed in float and rounded once", "", Eigen::half,
                   Eigen::bfloat16) {
  const double rounding = std::is_same_v<TestType, Eigen::half> ? 0x1p-11 : 0x1p-8;
  nn::Linear<TestType> layer(384, 70);
  scatter(layer, 0.2, 3);
  heed::Tensor3<TestType> x(1, 13, 384);
  const auto from = tokens<float>(1, 13, 384, 5);
  for (Index n = 0; n < x.size(); ++n) x.data()[n] = static_cast<TestType>(from.data()[n]);
  const auto y = layer.forward(x);
  for (Index i = 0; i < 13; ++i) {
    for (Index o = 0; o < 70; ++o) {
      double sum = static_cast<double>(layer.bias().value(o));
      for (Index d = 0; d < 384; ++d) {
        sum += static_cast<double>(x(0, i, d)) * static_cast<double>(layer.weight().value(o, d));
      }
      CHECK(std::abs(static_cast<double>(y(0, i, o)) - sum) <= rounding * std::abs(sum) + 1e-5);
    }
  }
}

TEST_CASE("linear: an activation of the user's is applied to every output, none else") {
  nn::Linear<float> layer(5, 37);
  scatter(layer, 1, 3);
  const auto x = tokens<float>(1, 9, 5, 5);
  const auto y = layer.forward(x);
  int calls = 0;
  const auto scalar = layer.forward(x, {.threads = 1}, [&](float v) { return ++calls, 2 * v; });
  const auto chunked = layer.forward(x, {}, [](const nn::Chunk<float>& v) { return 2 * v; });
  CHECK(calls == 9 * 37);
  for (Index n = 0; n < y.size(); ++n) {
    CHECK(scalar.data()[n] == 2 * y.data()[n]);
    CHECK(chunked.data()[n] == 2 * y.data()[n]);
  }
}

TEST_CASE("prepare: no bit changes, for any number of tokens and threads") {
  for (const auto projection : {nn::Projection::separate, nn::Projection::fused}) {
    nn::MultiHeadAttention<float> attention(72, {.heads = 3, .projection = projection});
    scatter(attention, 0.5, 3);
    for (const Index L : {1, 5, 40}) {
      const auto x = tokens<float>(2, L, 72, 5);
      const auto before = attention.forward(x);
      auto prepared = attention;
      nn::prepare(prepared);
      CHECK(same_bits(prepared.forward(x), before));
      CHECK(same_bits(prepared.forward(x, {}, {}, {.threads = 3}), before));
    }
  }
}

TEST_CASE("prepare: results follow the weights wherever they change") {
  const auto x = tokens<float>(1, 7, 16, 5);
  nn::FeedForward<float> module(16, 33);
  scatter(module, 0.5, 3);
  nn::prepare(module);
  const auto packed = [](const auto& m) {
    int count = 0;
    nn::each_parameter(m, [&](const std::string&, const auto& p) { count += p.packed != nullptr; });
    return count;
  };
  CHECK(packed(module) == 2);
  auto copy = module;
  scatter(module, 0.5, 4);
  CHECK(packed(module) == 0);
  CHECK(packed(copy) == 2);
  nn::FeedForward<float> fresh(16, 33);
  scatter(fresh, 0.5, 4);
  CHECK(same_bits(module.forward(x), fresh.forward(x)));
  scatter(fresh, 0.5, 3);
  CHECK(same_bits(copy.forward(x), fresh.forward(x)));
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
  CHECK(nn::Linear<float>(6, 0).forward(Tensor3<float>(2, 3, 6)).size() == 0);
  nn::Linear<float> constant(0, 3);
  scatter(constant, 1, 2);
  const auto y = constant.forward(Tensor3<float>(1, 2, 0));
  for (Index i = 0; i < 2; ++i) {
    for (Index j = 0; j < 3; ++j) CHECK(y(0, i, j) == constant.bias().value(j));
  }
}

TEST_CASE("linear: a wrong number of features is an error with both") {
  const nn::Linear<float> layer(6, 5);
  const auto text = error_of([&] { layer.forward(Tensor3<float>(2, 3, 7)); });
  CHECK(text == "heed::nn::Linear::forward: x has 7 features but the module takes 6 (x [2,3,7])");
}
