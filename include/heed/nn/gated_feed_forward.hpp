// down(activation(gate(x)) ∘ up(x)): each token by itself. With SiLU, SwiGLU, as LLaMA has it.
#pragma once

#include <string>

#include "heed/nn/linear.hpp"
#include "heed/nn/token_activation.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// Shazeer, "GLU Variants Improve Transformer" (2020), equation 6.
template <class T, Activation<T> F = Silu>
class GatedFeedForward {
 public:
  struct Saved {
    Tensor3<T> x;        // [B, L, features]
    Tensor3<T> before;   // [B, L, hidden], gate(x) before its activation
    Tensor3<T> gate;     // [B, L, hidden], after it
    Tensor3<T> up;       // [B, L, hidden]
    Tensor3<T> product;  // [B, L, hidden]
  };

  GatedFeedForward(Index features, Index hidden, Bias bias = Bias::no, const F& activation = {})
      : gate_(features, hidden, bias),
        up_(features, hidden, bias),
        down_(hidden, features, bias),
        activation_(activation) {}

  Index features() const { return gate_.in(); }
  Index hidden() const { return gate_.out(); }

  // x [B, L, features] or [L, features]; the same shape and kind comes back.
  // Throws heed::Error where x has another number of features. Holds 2 · [B·L, hidden].
  template <Tokens X>
  auto forward(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(x, features(), "heed::nn::GatedFeedForward::forward");
    auto product = make_tensor3<T>(tokens.extent[0], tokens.extent[1], hidden());
    auto up = product;
    affine_into(mutable_view_of(product), tokens, gate_.affine(), options, activation_);
    affine_into(mutable_view_of(up), tokens, up_.affine(), options);
    product = product * up;
    auto y = make_tokens(x, features());
    affine_into(made_view<X>(y), view_of(product), down_.affine(), options);
    return y;
  }

  // {y, saved}
  template <Tokens X>
  auto forward_train(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(x, features(), "heed::nn::GatedFeedForward::forward_train");
    Saved saved{kept(tokens), {}, {}, {}, {}};
    saved.before = gate_.forward(saved.x, options);
    saved.gate = saved.before;
    activate_tokens(activation_, mutable_view_of(saved.gate), options);
    saved.up = up_.forward(saved.x, options);
    saved.product = saved.gate * saved.up;
    auto y = make_tokens(x, features());
    affine_into(made_view<X>(y), view_of(saved.product), down_.affine(), options);
    return OutWithSaved{std::move(y), std::move(saved)};
  }

  // dx, of dy's kind; adds to the gradients. Throws heed::Error where dy or the gradients are not
  // of the saved call.
  template <Tokens D>
  auto backward(const D& dy, const Saved& saved, GatedFeedForward& gradients,
                const Options& options = {}) const {
    const auto x = view_of(saved.x);
    const auto d = gradient_of(dy, features(), x, "heed::nn::GatedFeedForward::backward");
    auto d_product = make_tensor3<T>(x.extent[0], x.extent[1], hidden());
    down_.backward_into(mutable_view_of(d_product), d, view_of(saved.product), gradients.down_,
                        options);
    // forward: product = gate ∘ up; so: d_gate = d ∘ up, d_up = d ∘ gate.
    Tensor3<T> d_gate = d_product * saved.up;
    const Tensor3<T> d_up = d_product * saved.gate;
    activation_gradient_tokens(activation_, view_of(saved.before), mutable_view_of(d_gate),
                               options);
    auto dx = make_tokens(dy, features());
    auto of_up = make_tensor3<T>(x.extent[0], x.extent[1], features());
    gate_.backward_into(made_view<D>(dx), view_of(d_gate), x, gradients.gate_, options);
    up_.backward_into(mutable_view_of(of_up), view_of(d_up), x, gradients.up_, options);
    add_into(made_view<D>(dx), view_of(of_up));
    return dx;
  }

  // Names: gate.weight, up.weight, down.weight and, with a bias, theirs.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.gate_, visit, prefix + "gate.");
    nn::each_parameter(self.up_, visit, prefix + "up.");
    nn::each_parameter(self.down_, visit, prefix + "down.");
  }

 private:
  Linear<T> gate_, up_, down_;
  F activation_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
