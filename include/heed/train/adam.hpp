// Adam, and AdamW: steps of a size that the gradient's history decides, element by element.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "heed/simd/kernels.hpp"
#include "heed/train/update.hpp"

namespace heed::train {

// l2: weight_decay · parameter is added to the gradient, as torch.optim.Adam. decoupled: the
// parameter shrinks by itself, as torch.optim.AdamW; Loshchilov and Hutter, "Decoupled Weight Decay
// Regularization" (2019).
enum class Decay { l2, decoupled };

struct AdamOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;  // decay of the two moments
  double eps = 1e-8;                  // added to the root of the second
  double weight_decay = 0;
  Decay decay = Decay::l2;
};

inline namespace HEED_ABI {

// AdamW, with torch's defaults.
inline AdamOptions adam_w(double learning_rate = 1e-3, double weight_decay = 0.01) {
  return {.learning_rate = learning_rate, .weight_decay = weight_decay, .decay = Decay::decoupled};
}

// Kingma and Ba, "Adam" (2015), Algorithm 1. Holds two modules of moments.
template <class Module>
class Adam {
 public:
  // Throws heed::Error for an option outside its range.
  explicit Adam(const Module& model, const AdamOptions& options = {})
      : mean_(nn::gradients_of(model)), square_(mean_), options_(options) {
    constexpr double most = std::numeric_limits<double>::infinity();
    check_range("heed::train::Adam", "beta1", options.beta1, 0, 1);
    check_range("heed::train::Adam", "beta2", options.beta2, 0, 1);
    check_range("heed::train::Adam", "eps", options.eps, 0, most);
    check_range("heed::train::Adam", "weight decay", options.weight_decay, 0, most);
    check_range("heed::train::Adam", "learning rate", options.learning_rate, 0, most);
  }

  // May be changed between steps, as a schedule does with learning_rate.
  AdamOptions& options() { return options_; }
  std::int64_t steps() const { return steps_; }  // taken
  const Module& mean() const { return mean_; }
  const Module& square() const { return square_; }

  // visit(name, moments): with steps(), all that a checkpoint needs of an optimizer.
  template <class Self, class Visit>
  static void each_moment(Self& self, const Visit& visit) {
    visit("mean", self.mean_);
    visit("square", self.square_);
  }
  void restore_steps(std::int64_t steps) { steps_ = steps; }

  // One step against the gradients. Throws heed::Error where model or gradients are of another
  // module; then nothing has changed.
  void step(Module& model, const Module& gradients, const nn::Options& call = {}) {
    const auto t = static_cast<double>(steps_ + 1);
    const double size = options_.learning_rate / (1 - std::pow(options_.beta1, t));
    const double unbias = 1 / std::sqrt(1 - std::pow(options_.beta2, t));
    update_elements(
        [&, machine = isa()](auto p, const auto& gradient, auto m, auto v) {
          using T = typename decltype(p)::Scalar;
          simd::layer_kernels<T>(machine).adam(factors<T>(size, unbias), p.data(), gradient.data(),
                                               m.data(), v.data(), p.size());
        },
        call, model, gradients, mean_, square_);
    ++steps_;
  }

 private:
  // m = beta1·m + (1 − beta1)·g, v = beta2·v + (1 − beta2)·g², p −= size·m / (√v·unbias + eps),
  // each p and g with its decay.
  template <class T>
  simd::AdamFactors<T> factors(double size, double unbias) const {
    const AdamOptions& how = options_;
    const auto number = [](double x) { return static_cast<T>(x); };
    const bool decoupled = how.decay == Decay::decoupled;
    const double kept = decoupled ? 1 - how.learning_rate * how.weight_decay : 1;
    return {.beta1 = number(how.beta1),
            .rest1 = number(1 - how.beta1),
            .beta2 = number(how.beta2),
            .rest2 = number(1 - how.beta2),
            .decay = number(decoupled ? 0 : how.weight_decay),
            .shrink = number(kept),
            .size = number(size),
            .unbias = number(unbias),
            .eps = number(how.eps)};
  }

  Module mean_, square_;
  AdamOptions options_;
  std::int64_t steps_ = 0;
};

}  // namespace HEED_ABI
}  // namespace heed::train
