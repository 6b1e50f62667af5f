// The normalisation of tokens, each by itself: what LayerNorm and RmsNorm share.
#pragma once

#include <string>
#include <utility>

#include "heed/core/zeros.hpp"
#include "heed/nn/gradients.hpp"
#include "heed/nn/workspace.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::nn {

struct LayerNormOptions {
  double eps = 1e-5;      // added to the variance
  Bias bias = Bias::yes;  // no: the shift is 0 and has no parameter
};

struct RmsNormOptions {
  double eps = 1e-6;  // added to the mean square
  static constexpr Bias bias = Bias::no;
};

inline namespace HEED_ABI {

template <class T, simd::Norm Kind>
class RowNorm {
 public:
  static constexpr bool is_layer = Kind == simd::Norm::layer;
  using NormOptions = std::conditional_t<is_layer, LayerNormOptions, RmsNormOptions>;
  struct Saved {
    Tensor3<T> x;  // [B, L, features]
  };

  // Throws heed::Error unless eps is finite and at least 0.
  explicit RowNorm(Index features, const NormOptions& options = {})
      : weight_(Parameter<T>::constant(features, T(1))),
        bias_(Parameter<T>::constant(features, T(0))),
        eps_(options.eps),
        has_bias_(options.bias == Bias::yes) {
    if (is_finite(eps_) && eps_ >= 0) return;
    throw Error(std::string(is_layer ? "heed::nn::LayerNorm" : "heed::nn::RmsNorm") + ": eps " +
                std::to_string(eps_) + " is negative or not finite");
  }

  Index features() const { return weight_.value.rows(); }
  double eps() const { return eps_; }

  // The normalised x [B, L, features] or [L, features], of x's kind.
  // Throws heed::Error where x has another number of features.
  template <Tokens X>
  auto forward(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(
        x, features(), is_layer ? "heed::nn::LayerNorm::forward" : "heed::nn::RmsNorm::forward");
    auto y = make_tokens(x, features());
    normalise_into(made_view<X>(y), tokens, options);
    return y;
  }

  // forward into y, of x's shape; y may be x. Allocates nothing where options.workspace has
  // workspace_bytes(x, options).
  template <class Out, Tokens X>
  void forward_into(Out&& y, const X& x, const Options& options = {}) const {
    constexpr const char* call =
        is_layer ? "heed::nn::LayerNorm::forward_into" : "heed::nn::RmsNorm::forward_into";
    const auto tokens = tokens_of(x, features(), call);
    const auto to = out_view<X>(y);
    check_out(call, to, tokens, "x", features(), options, true);
    normalise_into(to, tokens, options);
  }

  // {y, saved}
  template <Tokens X>
  auto forward_train(const X& x, const Options& options = {}) const {
    auto y = forward(x, options);
    return OutWithSaved{std::move(y), Saved{kept(tokens_of(x, features(), ""))}};
  }
  // x is kept without a copy.
  auto forward_train(Tensor3<T>&& x, const Options& options = {}) const {
    auto y = forward(x, options);
    return OutWithSaved{std::move(y), Saved{std::move(x)}};
  }

  // dx, of dy's kind; gradients: weight += Σ dy·x̂, bias += Σ dy, x̂ the normalised x. Throws
  // heed::Error where dy or the gradients are not of the saved call.
  template <Tokens D>
  auto backward(const D& dy, const Saved& saved, RowNorm& gradients,
                const Options& options = {}) const {
    constexpr const char* call =
        is_layer ? "heed::nn::LayerNorm::backward" : "heed::nn::RmsNorm::backward";
    const auto x = view_of(saved.x);
    const auto d = gradient_of(dy, features(), x, call);
    require_equal(gradients.features(), features(), "gradients have features", "the module has",
                  call, [&] { return "dy " + to_string(d); });
    require(gradients.has_bias_ == has_bias_, call, "the gradients are another module's",
            [&] { return "dy " + to_string(d); });
    auto dx = make_tokens(dy, features());
    backward_into(made_view<D>(dx), d, x, gradients, options);
    return dx;
  }

  // backward of views, x being what forward was given; dx may be dy.
  void backward_into(const View<T, 3>& dx, const View<const T, 3>& dy, const View<const T, 3>& x,
                     RowNorm& gradients, const Options& options) const {
    check_trainable<T>();
    check_saved(x, features(),
                is_layer ? "heed::nn::LayerNorm::backward" : "heed::nn::RmsNorm::backward");
    const Index tokens = features() == 0 ? 0 : token_count(x);
    const Index rows = std::max(rows_a_task, (tokens + most_sums - 1) / most_sums);
    const Index blocks = (tokens + rows - 1) / rows, size = features();
    auto sums = zeros<double>(checked_product(2 * blocks, size));  // of weight and bias, a block
    const int workers = worker_count(blocks, options.threads, options.executor);
    const auto& kernels = layer_kernels<T>(options);
    auto room = zeros<T>(checked_product(2 * workers, size));
    parallel_for(blocks, workers, options.executor, [&](Index block, int worker) {
      T* d = room.data() + 2 * worker * size;
      double* of_weight = sums.data() + 2 * block * size;
      for (Index n = block * rows; n < std::min(tokens, (block + 1) * rows); ++n) {
        const T* from = packed_token(x, n, d + size);
        T* to = dx.stride[2] == 1 ? token(dx, n) : d;
        if (to != token(dy, n)) read_token(dy, n, to);
        kernels.normalise_gradient(Kind, from, to, size, weight_.value.data(), eps_, of_weight,
                                   of_weight + size);
        if (to == d) write_token(dx, n, d);
      }
    });
    gradients.add_sums(sums);
  }

  template <Tokens X>
  std::size_t workspace_bytes(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(
        x, features(),
        is_layer ? "heed::nn::LayerNorm::workspace_bytes" : "heed::nn::RmsNorm::workspace_bytes");
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
  static constexpr Index most_sums = 256;   // of blocks, so that their memory is bounded

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
    const auto& kernels = layer_kernels<T>(options);
    const int workers = worker_count(tasks(tokens), options.threads, options.executor);
    parallel_for(tasks(tokens), workers, options.executor, [&](Index task, int worker) {
      T* row = reinterpret_cast<T*>(scratch.begin() + worker * row_bytes());
      const Index end = std::min(tokens, (task + 1) * rows_a_task);
      for (Index n = task * rows_a_task; n < end; ++n) {
        T* to = y.stride[2] == 1 ? token(y, n) : row;
        if (to != token(x, n)) read_token(x, n, to);
        kernels.normalise(Kind, to, features(), weight_.value.data(), bias_.value.data(), eps_);
        if (to == row) write_token(y, n, row);
      }
    });
  }

  // Adds sums of weight and bias [blocks, 2, features] to the values, block by block.
  void add_sums(const std::vector<double>& sums) {
    const auto size = static_cast<std::size_t>(features());
    for (std::size_t j = 0; j < size; ++j) {
      double of_weight = 0, of_bias = 0;
      for (std::size_t at = j; at < sums.size(); at += 2 * size) {
        of_weight += sums[at];
        of_bias += sums[at + size];
      }
      weight_.value(static_cast<Index>(j), 0) += static_cast<T>(of_weight);
      if (has_bias_) bias_.value(static_cast<Index>(j), 0) += static_cast<T>(of_bias);
    }
  }

  Parameter<T> weight_;
  Parameter<T> bias_;
  double eps_;
  bool has_bias_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
