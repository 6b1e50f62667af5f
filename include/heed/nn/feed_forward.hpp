// second(activation(first(x))): each token by itself.
#pragma once

#include <string>

#include "heed/nn/linear.hpp"

namespace heed::nn {

// Vaswani et al. (2017), equation 2, with any activation.
template <class T, Activation<T> F = Gelu>
class FeedForward {
 public:
  FeedForward(Index features, Index hidden, const F& activation = {}, Bias bias = Bias::yes)
      : first_(features, hidden, bias), second_(hidden, features, bias), activation_(activation) {}

  Index features() const { return first_.in(); }
  Index hidden() const { return first_.out(); }

  // x [B, L, features] or [L, features]; the same shape and kind comes back.
  // Throws heed::Error where x has another number of features. Holds [B·L, hidden] during the call.
  template <Tokens X>
  auto forward(const X& x, const Options& options = {}) const {
    tokens_of(x, features(), "heed::nn::FeedForward::forward");
    return second_.forward(first_.forward(x, options, activation_), options);
  }

  // Names: first.weight, first.bias, second.weight, second.bias.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.first_, visit, prefix + "first.");
    nn::each_parameter(self.second_, visit, prefix + "second.");
  }

 private:
  Linear<T> first_;
  Linear<T> second_;
  F activation_;
};

}  // namespace heed::nn
