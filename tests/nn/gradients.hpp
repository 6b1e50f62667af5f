// The law of a module that learns, for any of them: its gradients are those of its forward call.
#pragma once

#include <utility>

#include "heed/inspect/gradcheck_module.hpp"
#include "nn/loops.hpp"
#include "support/catch.hpp"

namespace nn_test {

template <class T>
heed::Tensor3<T> like(const heed::Tensor3<T>& x, std::uint64_t seed) {
  return tokens<T>(x.dimension(0), x.dimension(1), x.dimension(2), seed);
}

// Σ a ∘ b, in double.
template <class A, class B>
double dot(const A& a, const B& b) {
  double sum = 0;
  for (Index n = 0; n < a.size(); ++n) {
    sum += static_cast<double>(a.data()[n]) * static_cast<double>(b.data()[n]);
  }
  return sum;
}

// True where two modules have the same bits.
template <class Module>
bool same_parameters(const Module& a, const Module& b) {
  bool same = true;
  heed::nn::for_each_parameter(
      [&](const std::string&, const auto& x, const auto& y) { same = same && x.value == y.value; },
      a, b);
  return same;
}

// |a − b| over all elements, relative to the largest of b.
template <class A, class B>
double relative_difference(const A& a, const B& b) {
  double worst = 0, largest = 0;
  for (Index n = 0; n < a.size(); ++n) {
    const auto x = static_cast<double>(a.data()[n]), y = static_cast<double>(b.data()[n]);
    worst = std::max(worst, std::abs(x - y));
    largest = std::max(largest, std::abs(y));
    if (std::isnan(x)) return INFINITY;
  }
  return largest > 0 ? worst / largest : worst;
}

// One forward_train and backward of a module for tokens x: its results.
template <class Module, class T>
struct Step {
  heed::Tensor3<T> y, dx;
  Module gradients;
};
template <class Module, class T, class... Args>
Step<Module, T> step(const Module& module, const heed::Tensor3<T>& x,
                     const heed::nn::Options& options, const Args&... args) {
  auto gradients = heed::nn::gradients_of(module);
  auto result = module.forward_train(x, args..., options);
  // Another seed and mode than forward's, which saved has.
  auto dx = module.backward(like(result.out, 99), result.saved, gradients, args...,
                            {.threads = options.threads});
  return {std::move(result.out), std::move(dx), std::move(gradients)};
}

// Of make.template operator()<T>(), a module whose forward takes x, args… and options:
// - forward_train has forward's bits,
// - gradients of x and of every parameter equal central differences in double within 1e-6,
// - those of float are those of double,
// - threads change no bit, and a second backward call adds.
template <class Make, class... Args>
void check_gradients(const Make& make, Index B, Index L, Index features,
                     const heed::nn::Options& options, const Args&... args) {
  auto module = make.template operator()<double>();
  scatter(module, 0.7, 3);
  const auto x_float = tokens<float>(B, L, features, 5);
  heed::Tensor3<double> x = x_float.template cast<double>();
  const auto exact = step(module, x, options, args...);
  const auto dy = like(exact.y, 99);
  const auto loss = [&] { return dot(dy, module.forward(x, args..., options)); };
  CHECK(same_bits(exact.y, module.forward(x, args..., options)));

  auto inputs = heed::inspect::gradcheck_parameters(module, exact.gradients);
  inputs.push_back(heed::inspect::gradcheck_input("x", x, exact.dx));
  const auto check = heed::inspect::gradcheck(loss, inputs);
  INFO(check);
  CHECK(check.ok(1e-6));

  auto in_float = make.template operator()<float>();
  scatter(in_float, 0.7, 3);
  const auto rounded = step(in_float, x_float, options, args...);
  CHECK(relative_difference(rounded.dx, exact.dx) < 1e-5);
  const auto of_double = weights_of(exact.gradients);
  for (const auto& [name, value] : weights_of(rounded.gradients)) {
    INFO(name);
    CHECK(relative_difference(value, of_double.at(name)) < 1e-5);
  }

  for (const int threads : {1, 3}) {
    auto again = options;
    again.threads = threads;
    const auto other = step(in_float, x_float, again, args...);
    CHECK(same_bits(other.dx, rounded.dx));
    CHECK(same_parameters(other.gradients, rounded.gradients));
  }
  const auto result = module.forward_train(x, args..., options);
  auto twice = exact.gradients;
  module.backward(dy, result.saved, twice, args...);
  heed::nn::for_each_parameter(
      [](const std::string&, const auto& both, const auto& one) {
        CHECK(relative_difference(both.value, (2 * one.value).eval()) < 1e-14);
      },
      twice, exact.gradients);
}

}  // namespace nn_test
