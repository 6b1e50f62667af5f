// Stochastic gradient descent with momentum. Polyak (1964); Sutskever et al. (2013).
#pragma once

#include <limits>

#include "heed/train/update.hpp"

namespace heed::train {

struct SgdOptions {
  double learning_rate = 1e-2;
  double momentum = 0;      // in [0, 1)
  bool nesterov = false;    // looks ahead by one momentum step
  double weight_decay = 0;  // · parameter, added to the gradient
};

inline namespace HEED_ABI {

// As torch.optim.SGD with dampening 0.
template <class Module>
class Sgd {
 public:
  // Throws heed::Error for an option outside its range.
  explicit Sgd(const Module& model, const SgdOptions& options = {})
      : velocity_(nn::gradients_of(model)), options_(options) {
    constexpr double most = std::numeric_limits<double>::infinity();
    check_range("heed::train::Sgd", "momentum", options.momentum, 0, 1);
    check_range("heed::train::Sgd", "weight decay", options.weight_decay, 0, most);
    check_range("heed::train::Sgd", "learning rate", options.learning_rate, 0, most);
  }

  // May be changed between steps, as a schedule does with learning_rate.
  SgdOptions& options() { return options_; }
  const Module& velocity() const { return velocity_; }

  // As Adam's.
  template <class Self, class Visit>
  static void each_moment(Self& self, const Visit& visit) {
    visit("velocity", self.velocity_);
  }

  // v = momentum · v + g, parameter −= learning_rate · v, where g is the gradient with its decay.
  // Throws heed::Error where model or gradients are of another module.
  void step(Module& model, const Module& gradients, const nn::Options& call = {}) {
    const SgdOptions& how = options_;
    update_elements(
        [&](auto p, const auto& gradient, auto v) {
          using T = typename decltype(p)::Scalar;
          const auto momentum = static_cast<T>(how.momentum);
          const auto rate = static_cast<T>(how.learning_rate);
          const auto g = gradient + static_cast<T>(how.weight_decay) * p;
          if (how.nesterov) {
            v = momentum * v + g;
            p -= rate * (g + momentum * v).eval();
          } else {
            v = momentum * v + g;
            p -= rate * v;
          }
        },
        call, model, gradients, velocity_);
  }

 private:
  Module velocity_;
  SgdOptions options_;
};

}  // namespace HEED_ABI
}  // namespace heed::train
