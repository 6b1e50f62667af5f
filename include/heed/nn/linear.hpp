// y = x Wᵀ + b.
#pragma once

#include <string>

#include "heed/nn/gradients.hpp"
#include "heed/nn/product_gradient.hpp"
#include "heed/nn/workspace.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

template <class T>
class Linear {
 public:
  struct Saved {
    Tensor3<T> x;  // [B, L, in]
  };

  Linear(Index in, Index out, Bias bias = Bias::yes)
      : weight_(Parameter<T>::weight(out, in)),
        bias_(Parameter<T>::bias(bias == Bias::yes ? out : 0, in)),
        has_bias_(bias == Bias::yes) {}

  Index in() const { return weight_.value.cols(); }
  Index out() const { return weight_.value.rows(); }
  const Parameter<T>& weight() const { return weight_; }  // [out, in]
  const Parameter<T>& bias() const { return bias_; }      // [out], or [0] without

  // Outputs [first, first + count) alone.
  Affine<T> rows(Index first, Index count) const {
    return {slice(weight_.view(), first, count), has_bias_ ? bias_.value.data() + first : nullptr,
            weight_.packed ? weight_.packed->rows(first) : PackedRows<T>()};
  }
  Affine<T> affine() const { return rows(0, out()); }

  // activation(x Wᵀ + b)
  //
  //   x        [B, L, in] or [L, in], any strides
  //   returns  [B, L, out] or [L, out], of x's kind
  //
  // Throws heed::Error where x has another number of features. The bits of a token depend on
  // neither the threads nor the other tokens.
  template <Tokens X, Activation<T> F = Identity>
  auto forward(const X& x, const Options& options = {}, const F& activation = {}) const {
    const auto tokens = tokens_of(x, in(), "heed::nn::Linear::forward");
    auto y = make_tokens(x, out());
    affine_into(made_view<X>(y), tokens, affine(), options, activation);
    return y;
  }

  // forward into y [B, L, out] or [L, out], of x's rank, which must not overlap x. Allocates
  // nothing where options.workspace has workspace_bytes(x, options).
  template <class Out, Tokens X, Activation<T> F = Identity>
  void forward_into(Out&& y, const X& x, const Options& options = {},
                    const F& activation = {}) const {
    constexpr const char* call = "heed::nn::Linear::forward_into";
    const auto tokens = tokens_of(x, in(), call);
    const auto to = out_view<X>(y);
    check_out(call, to, tokens, "x", out(), options, false);
    affine_into(to, tokens, affine(), options, activation);
  }

  // {x Wᵀ + b, saved}
  template <Tokens X>
  auto forward_train(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(x, in(), "heed::nn::Linear::forward_train");
    return OutWithSaved{forward(x, options), Saved{kept(tokens)}};
  }

  // dx = dy W, of dy's kind; gradients: W += dyᵀ x, b += Σ dy. Throws heed::Error where dy or
  // the gradients are not of the saved call.
  template <Tokens D>
  auto backward(const D& dy, const Saved& saved, Linear& gradients,
                const Options& options = {}) const {
    const auto x = view_of(saved.x);
    const auto d = gradient_of(dy, out(), x, "heed::nn::Linear::backward");
    auto dx = make_tokens(dy, in());
    backward_into(made_view<D>(dx), d, x, gradients, options);
    return dx;
  }

  // backward of views, x being what forward was given; dx must not overlap dy.
  void backward_into(const View<T, 3>& dx, const View<const T, 3>& dy, const View<const T, 3>& x,
                     Linear& gradients, const Options& options) const {
    check_saved(x, in(), "heed::nn::Linear::backward");
    add_affine_gradient(gradients.gradient_rows(0, out(), *this), dy, x, options);
    input_gradient_into(dx, dy, affine(), options);
  }

  // Of outputs [first, first + count) of `module`, this being its gradients. Throws heed::Error
  // where it is not.
  AffineGradient<T> gradient_rows(Index first, Index count, const Linear& module) {
    const bool same = in() == module.in() && out() == module.out() && has_bias_ == module.has_bias_;
    require(same, "heed::nn::Linear::backward", "the gradients are another module's", [&] {
      return "weight " + to_string(module.weight_.shape()) + ", gradient " +
             to_string(weight_.shape());
    });
    return {slice(mutable_view_of(weight_.value), first, count),
            has_bias_ ? bias_.value.data() + first : nullptr};
  }

  template <Tokens X>
  std::size_t workspace_bytes(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(x, in(), "heed::nn::Linear::workspace_bytes");
    return Scratch::with_slack(scratch_bytes(token_count(tokens), options));
  }

  // Of forward for so many tokens, at an aligned address.
  std::size_t scratch_bytes(Index tokens, const Options& options) const {
    return AffineScratch<T>(tokens, affine(), options).bytes;
  }

  // Names: weight, bias.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    if constexpr (!std::is_const_v<Self>) self.weight_.packed.reset();
    visit(prefix + "weight", self.weight_);
    if (self.has_bias_) visit(prefix + "bias", self.bias_);
  }

 private:
  Parameter<T> weight_;
  Parameter<T> bias_;
  bool has_bias_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
