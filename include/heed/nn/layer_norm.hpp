// y = (x − mean) / sqrt(variance + eps) · weight + bias, token by token.
#pragma once

#include <string>
#include <vector>

#include "heed/nn/options.hpp"
#include "heed/nn/parameter.hpp"
#include "heed/nn/tokens.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::nn {

struct LayerNormOptions {
  double eps = 1e-5;  // added to the variance
};

// Ba, Kiros, Hinton, Layer Normalization (2016), equation 4.
template <class T>
class LayerNorm {
 public:
  // Throws heed::Error unless eps is finite and at least 0.
  explicit LayerNorm(Index features, const LayerNormOptions& options = {})
      : weight_(Parameter<T>::constant(features, T(1))),
        bias_(Parameter<T>::constant(features, T(0))),
        eps_(options.eps) {
    if (is_finite(eps_) && eps_ >= 0) return;
    throw Error("heed::nn::LayerNorm: eps " + std::to_string(eps_) + " is negative or not finite");
  }

  Index features() const { return weight_.value.rows(); }
  double eps() const { return eps_; }

  // The normalised x [B, L, features] or [L, features], of x's kind; variance is the biased one.
  // Throws heed::Error where x has another number of features.
  template <Tokens X>
  auto forward(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(x, features(), "heed::nn::LayerNorm::forward");
    auto y = make_tokens(x, features());
    forward_into(made_view<X>(y), tokens, options);
    return y;
  }

  // y [B, L, features] may be x.
  void forward_into(const View<T, 3>& y, const View<const T, 3>& x, const Options& options) const {
    constexpr Index rows = 64;  // a task: some microseconds
    const Index tokens = features() == 0 ? 0 : token_count(x);
    const Index tasks = (tokens + rows - 1) / rows;
    const auto& kernels = simd::layer_kernels<T>(isa());
    const int workers = worker_count(tasks, options.threads, options.executor);
    parallel_for(tasks, workers, options.executor, [&](Index task, int) {
      std::vector<T> row(static_cast<std::size_t>(features()));
      for (Index n = task * rows; n < std::min(tokens, (task + 1) * rows); ++n) {
        read_token(x, n, row.data());
        kernels.normalise(row.data(), features(), weight_.value.data(), bias_.value.data(), eps_);
        write_token(y, n, row.data());
      }
    });
  }

  // Names: weight, bias.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    visit(prefix + "weight", self.weight_);
    visit(prefix + "bias", self.bias_);
  }

 private:
  Parameter<T> weight_;
  Parameter<T> bias_;
  double eps_;
};

}  // namespace heed::nn
