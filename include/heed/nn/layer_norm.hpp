// y = (x − mean) / sqrt(variance + eps) · weight + bias, token by token.
#pragma once

#include <string>

#include "heed/nn/options.hpp"
#include "heed/nn/parameter.hpp"
#include "heed/nn/tokens.hpp"
#include "heed/nn/workspace.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::nn {

struct LayerNormOptions {
  double eps = 1e-5;      // added to the variance
  Bias bias = Bias::yes;  // no: the shift is 0 and has no parameter
};

inline namespace HEED_ABI {

// Ba, Kiros, Hinton, Layer Normalization (2016), equation 4.
template <class T>
class LayerNorm {
 public:
  // Throws heed::Error unless eps is finite and at least 0.
  explicit LayerNorm(Index features, const LayerNormOptions& options = {})
      : weight_(Parameter<T>::constant(features, T(1))),
        bias_(Parameter<T>::constant(features, T(0))),
        eps_(options.eps),
        has_bias_(options.bias == Bias::yes) {
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
    normalise_into(made_view<X>(y), tokens, options);
    return y;
  }

  // forward into y, of x's shape; y may be x. Allocates nothing where options.workspace has
  // workspace_bytes(x, options).
  template <class Out, Tokens X>
  void forward_into(Out&& y, const X& x, const Options& options = {}) const {
    constexpr const char* call = "heed::nn::LayerNorm::forward_into";
    const auto tokens = tokens_of(x, features(), call);
    const auto to = out_view<X>(y);
    check_out(call, to, tokens, "x", features(), options, true);
    normalise_into(to, tokens, options);
  }

  template <Tokens X>
  std::size_t workspace_bytes(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(x, features(), "heed::nn::LayerNorm::workspace_bytes");
    return Scratch::with_slack(scratch_bytes(token_count(tokens), options));
  }

  // Of forward for so many tokens, at an aligned address.
  std::size_t scratch_bytes(Index tokens, const Options& options) const {
    return static_cast<std::size_t>(checked_product(
        row_bytes(), worker_count(tasks(tokens), options.threads, options.executor)));
  }

  // Names: weight and, with a bias, bias.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    visit(prefix + "weight", self.weight_);
    if (self.has_bias_) visit(prefix + "bias", self.bias_);
  }

 private:
  static constexpr Index rows_a_task = 64;  // some microseconds

  static Index tasks(Index tokens) { return (tokens + rows_a_task - 1) / rows_a_task; }
  // A row, on cache lines of its own.
  Index row_bytes() const {
    Carver counter(nullptr);
    counter.array<T>(features());
    return static_cast<Index>(counter.used());
  }

  void normalise_into(const View<T, 3>& y, const View<const T, 3>& x,
                      const Options& options) const {
    const Index tokens = features() == 0 ? 0 : token_count(x);
    const Scratch scratch(scratch_bytes(tokens, options), options.workspace);
    const auto& kernels = simd::layer_kernels<T>(isa());
    const int workers = worker_count(tasks(tokens), options.threads, options.executor);
    parallel_for(tasks(tokens), workers, options.executor, [&](Index task, int worker) {
      T* row = reinterpret_cast<T*>(scratch.begin() + worker * row_bytes());
      const Index end = std::min(tokens, (task + 1) * rows_a_task);
      for (Index n = task * rows_a_task; n < end; ++n) {
        read_token(x, n, row);
        kernels.normalise(row, features(), weight_.value.data(), bias_.value.data(), eps_);
        write_token(y, n, row);
      }
    });
  }

  Parameter<T> weight_;
  Parameter<T> bias_;
  double eps_;
  bool has_bias_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
