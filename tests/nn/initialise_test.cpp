// First values of weights: bounds, moments, seeds.
#include "heed/nn/initialise.hpp"

#include "heed/nn/embedding.hpp"
#include "heed/nn/layer_norm.hpp"
#include "heed/nn/linear.hpp"
#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
namespace nn = heed::nn;

TEST_CASE("initialise: bounds, seeds and independence") {
  nn::Linear<float> layer(48, 200);
  nn::initialise(layer, nn::Init::xavier_uniform, 42);
  const double bound = std::sqrt(6.0 / 248);
  const auto& weight = layer.weight().value;
  CHECK(weight.cwiseAbs().maxCoeff() <= bound);
  CHECK(weight.cwiseAbs().maxCoeff() > 0.99 * bound);
  CHECK(std::abs(weight.mean()) < 0.02 * bound);
  // variance of a uniform distribution: bound² / 3
  CHECK(weight.cwiseAbs2().mean() == Approx(bound * bound / 3).epsilon(0.03));
  CHECK(layer.bias().value.isZero(0));

  nn::Linear<float> torch(48, 200);
  nn::initialise(torch, nn::Init::torch_linear, 42);
  CHECK(torch.weight().value.cwiseAbs().maxCoeff() <= 1 / std::sqrt(48.0));
  CHECK(torch.bias().value.cwiseAbs().maxCoeff() <= 1 / std::sqrt(48.0));
  CHECK(torch.bias().value.cwiseAbs().maxCoeff() > 0.9 / std::sqrt(48.0));

  nn::Linear<float> again(48, 200), other(48, 200);
  nn::initialise(again, nn::Init::xavier_uniform, 42);
  nn::initialise(other, nn::Init::xavier_uniform, 43);
  CHECK(again.weight().value == weight);
  CHECK(other.weight().value != weight);
  CHECK(torch.weight().value.col(0) != torch.bias().value.col(0));
}

TEST_CASE("initialise: gains become 1 and shifts 0 again") {
  nn::LayerNorm<float> norm(5);
  scatter(norm, 1, 3);
  nn::initialise(norm, nn::Init::torch_linear, 42);
  const auto w = weights_of(norm);
  CHECK(w.at("weight").isOnes(0));
  CHECK(w.at("bias").isZero(0));
}

TEST_CASE("initialise: a table begins as N(0, 1), whatever the rest does") {
  nn::Embedding<double> table(100, 200), again(100, 200);
  nn::initialise(table, nn::Init::xavier_uniform, 42);
  nn::initialise(again, nn::Init::torch_linear, 42);
  const auto& values = table.weight().value;
  CHECK(again.weight().value == values);
  CHECK(std::abs(values.mean()) < 0.03);
  CHECK(values.cwiseAbs2().mean() == Approx(1).epsilon(0.03));
  CHECK((values.array().abs() > 2).cast<double>().mean() == Approx(0.0455).epsilon(0.1));
}
