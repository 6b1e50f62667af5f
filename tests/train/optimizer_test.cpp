// Optimizers against their formulas, number by number; clipping and the schedule.
#include "heed/nn/linear.hpp"
#include "heed/nn/prepare.hpp"
#include "heed/train/adam.hpp"
#include "heed/train/clip.hpp"
#include "heed/train/schedule.hpp"
#include "heed/train/sgd.hpp"
#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
namespace nn = heed::nn;
namespace train = heed::train;
using Model = nn::Linear<double>;

namespace {

// Five steps of an optimizer, and of update(p, g, t) on each number of the weight by itself.
template <class Optimizer, class Update>
void check_steps(Optimizer optimizer, const Update& make_update) {
  Model model(100, 90);
  scatter(model, 1, 3);
  Model plain = model;
  auto gradients = nn::gradients_of(model);
  std::vector<decltype(make_update())> updates(9000, make_update());
  for (int t = 1; t <= 5; ++t) {
    scatter(gradients, 1, static_cast<std::uint64_t>(10 * t));
    optimizer.step(model, gradients, {.threads = t % 3});
    nn::for_each_parameter(
        [&](const std::string& name, auto& p, const auto& g) {
          if (name != "weight") return;
          for (Index n = 0; n < p.size(); ++n) {
            updates[static_cast<std::size_t>(n)](p.value.data()[n], g.value.data()[n], t);
          }
        },
        plain, std::as_const(gradients));
  }
  CHECK((model.weight().value - plain.weight().value).cwiseAbs().maxCoeff() < 1e-14);
}

}  // namespace

TEST_CASE("sgd: momentum, Nesterov's and weight decay") {
  for (const bool nesterov : {false, true}) {
    check_steps(
        train::Sgd(
            Model(100, 90),
            {.learning_rate = 0.1, .momentum = 0.9, .nesterov = nesterov, .weight_decay = 0.01}),
        [=] {
          return [=, v = 0.0](double& p, double g, int) mutable {
            g += 0.01 * p;
            v = 0.9 * v + g;
            p -= 0.1 * (nesterov ? g + 0.9 * v : v);
          };
        });
  }
}

TEST_CASE("adam: moments without bias, weight decay in the gradient or beside it") {
  for (const bool decoupled : {false, true}) {
    train::AdamOptions options = decoupled ? train::adam_w(0.01, 0.1) : train::AdamOptions{};
    options.learning_rate = 0.01;
    options.weight_decay = 0.1;
    check_steps(train::Adam(Model(100, 90), options), [=] {
      return [=, m = 0.0, v = 0.0](double& p, double g, int t) mutable {
        if (decoupled) p -= 0.01 * 0.1 * p;
        if (!decoupled) g += 0.1 * p;
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        const double mean = m / (1 - std::pow(0.9, t)), square = v / (1 - std::pow(0.999, t));
        p -= 0.01 * mean / (std::sqrt(square) + 1e-8);
      };
    });
  }
  CHECK_THROWS_AS(train::Adam(Model(2, 3), {.beta1 = 1}), heed::Error);
  CHECK_THROWS_AS(train::Sgd(Model(2, 3), {.momentum = -0.1}), heed::Error);
}

TEST_CASE("optimizers: a prepared model follows its new weights; other models are refused") {
  Model model(4, 3);
  scatter(model, 1, 3);
  nn::prepare(model);
  auto gradients = nn::gradients_of(model);
  scatter(gradients, 1, 5);
  train::Adam optimizer(model);
  optimizer.step(model, gradients);
  CHECK(optimizer.steps() == 1);
  const auto x = tokens<double>(1, 2, 4, 1);
  Model copy = model;
  nn::each_parameter(copy, [](const auto&, auto&) {});  // unpacked
  CHECK(same_bits(model.forward(x), copy.forward(x)));
  Model other(4, 2);
  CHECK_THROWS_AS(optimizer.step(other, gradients), heed::Error);
  CHECK(optimizer.steps() == 1);
}

TEST_CASE("clipping: the global norm is bounded, and what is not finite is named") {
  Model gradients(4, 3);
  scatter(gradients, 1, 3);
  double sum = 0;
  nn::each_parameter(gradients, [&](const auto&, auto& g) { sum += g.value.squaredNorm(); });
  const double norm = std::sqrt(sum);
  const Model before = gradients;
  CHECK(train::clip_global_norm(gradients, 2 * norm) == Approx(norm));
  CHECK(gradients.weight().value == before.weight().value);
  CHECK(train::clip_global_norm(gradients, norm / 4) == Approx(norm));
  CHECK(train::global_norm(gradients) == Approx(norm / 4));
  CHECK_THROWS_AS(train::clip_global_norm(gradients, -1), heed::Error);
  CHECK(train::global_norm(gradients) == Approx(norm / 4));
#if !defined(__FAST_MATH__)
  nn::each_parameter(gradients, [&](const std::string& name, auto& g) {
    if (name == "bias") g.value(1, 0) = std::numeric_limits<double>::infinity();
  });
  CHECK(error_of([&] { train::clip_global_norm(gradients, 1); }) ==
        "heed::train::clip_global_norm: the gradient of bias is not finite");
#endif
}

TEST_CASE("schedule: linear warm-up, a half cosine, then constant") {
  const train::CosineWithWarmup rate{.peak = 0.8, .warmup = 4, .total = 12, .last = 0.2};
  CHECK(rate(0) == Approx(0.2));
  CHECK(rate(3) == Approx(0.8));
  CHECK(rate(4) == Approx(0.8));
  CHECK(rate(8) == Approx(0.5));
  CHECK(rate(12) == Approx(0.2));
  CHECK(rate(1000) == Approx(0.2));
  CHECK(train::CosineWithWarmup{.peak = 1, .warmup = 0, .total = 0}(0) == 0);
}
