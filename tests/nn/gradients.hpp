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

template <class A>
double largest(const A& a) {
  double most = 0;
  for (Index n = 0; n < a.size(); ++n) {
    most = std::max(most, std::abs(static_cast<double>(a.data()[n])));
  }
  return most;
}

// |a − b| over all elements, relative to the largest of b, or to `least` where that is more.
template <class A, class B>
double relative_difference(const A& a, const B& b, double least = 1e-300) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (Index n = 0; n < std::min<Index>(a.size(), b.size()); ++n) {
    const double gap =
        std::abs(static_cast<double>(a.data()[n]) - static_cast<double>(b.data()[n]));
    if (!(gap <= worst)) worst = gap;
  }
  return worst / std::max(largest(b), least);
}

// A tenth of a module's largest gradient: a gradient that is 0 but for rounding, as of the bias of
// keys, is measured against it.
template <class Module>
double least_gradient(const Module& gradients) {
  double most = 0;
  heed::nn::each_parameter(gradients, [&](const std::string&, const auto& g) {
    most = std::max(most, largest(g.value));
  });
  return most / 10;
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
  const double least = least_gradient(exact.gradients);
  for (const auto& input : inputs) {
    const auto check = heed::inspect::gradcheck(loss, {input});
    INFO(check);
    const double off = std::abs(check.gradient - check.difference);
    CHECK((check.ok(1e-6) || off < 1e-6 * least));
  }

  auto in_float = make.template operator()<float>();
  scatter(in_float, 0.7, 3);
  const auto rounded = step(in_float, x_float, options, args...);
  CHECK(relative_difference(rounded.dx, exact.dx) < 1e-5);
  const auto of_double = weights_of(exact.gradients);
  for (const auto& [name, value] : weights_of(rounded.gradients)) {
    INFO(name);
    CHECK(relative_difference(value, of_double.at(name), least) < 1e-5);
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
      [&](const std::string&, const auto& both, const auto& one) {
        CHECK(relative_difference(both.value, (2 * one.value).eval(), least) < 1e-13);
      },
      twice, exact.gradients);
}

}  // namespace nn_test
