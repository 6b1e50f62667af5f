// second(drop(activation(first(x)))), dropped once more in training: each token by itself.
#pragma once

#include <optional>
#include <string>

#include "heed/nn/dropout.hpp"
#include "heed/nn/linear.hpp"
#include "heed/nn/token_activation.hpp"

namespace heed::nn {

struct FeedForwardOptions {
  Bias bias = Bias::yes;  // of both maps
  double dropout = 0;     // in Mode::train, of the hidden features and of the result: the documents
                          // have 0.1 for both
  std::optional<double> hidden_dropout = {};  // of the hidden features, where it is another
};

inline namespace HEED_ABI {

// Vaswani et al. (2017), equation 2, with any activation.
template <class T, Activation<T> F = Gelu>
class FeedForward {
 public:
  struct Saved {
    Tensor3<T> x;       // [B, L, features]
    Tensor3<T> before;  // [B, L, hidden], before the activation
    Tensor3<T> hidden;  // [B, L, hidden], after it and its dropout
    SavedDropout dropout;
  };

  FeedForward(Index features, Index hidden, const F& activation = {}, Bias bias = Bias::yes)
      : FeedForward(features, hidden, FeedForwardOptions{.bias = bias}, activation) {}
  // Throws heed::Error for dropout outside [0, 1].
  FeedForward(Index features, Index hidden, const FeedForwardOptions& options,
              const F& activation = {})
      : first_(features, hidden, options.bias),
        second_(hidden, features, options.bias),
        activation_(activation),
        dropout_(options.dropout),
        hidden_dropout_(options.hidden_dropout.value_or(options.dropout)) {
    check_dropout("heed::nn::FeedForward", dropout_);
    check_dropout("heed::nn::FeedForward", hidden_dropout_);
  }

  Index features() const { return first_.in(); }
  Index hidden() const { return first_.out(); }
  double dropout() const { return dropout_; }
  double hidden_dropout() const { return hidden_dropout_; }

  // x [B, L, features] or [L, features]; the same shape and kind comes back.
  // Throws heed::Error where x has another number of features. Holds [B·L, hidden] during the call.
  template <Tokens X>
  auto forward(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(x, features(), "heed::nn::FeedForward::forward");
    auto y = make_tokens(x, features());
    run(made_view<X>(y), tokens, options);
    return y;
  }

  // forward into y, of x's shape; y may be x. Allocates nothing where options.workspace has
  // workspace_bytes(x, options).
  template <class Out, Tokens X>
  void forward_into(Out&& y, const X& x, const Options& options = {}) const {
    constexpr const char* call = "heed::nn::FeedForward::forward_into";
    const auto tokens = tokens_of(x, features(), call);
    const auto to = out_view<X>(y);
    check_out(call, to, tokens, "x", features(), options, true);
    run(to, tokens, options);
  }

  // {y, saved}
  template <Tokens X>
  auto forward_train(const X& x, const Options& options = {}) const {
    auto saved = save(x, options);
    auto y = make_tokens(x, features());
    affine_into(made_view<X>(y), view_of(saved.hidden), second_.affine(), options);
    drop_into(made_view<X>(y), dropout_, DropoutSite::feed_forward_output, options);
    return OutWithSaved{std::move(y), std::move(saved)};
  }

  // The saved of forward_train alone, without the second map.
  template <Tokens X>
  Saved save(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(x, features(), "heed::nn::FeedForward::forward_train");
    Saved saved{kept(tokens), {}, {}, SavedDropout(options)};
    saved.before = first_.forward(saved.x, options);
    saved.hidden = make_tensor3<T>(tokens.extent[0], tokens.extent[1], this->hidden());
    const auto hidden = mutable_view_of(saved.hidden);
    activate_tokens(activation_, view_of(saved.before), hidden,
                    TokenDropout(hidden_dropout_, DropoutSite::hidden, options), options);
    return saved;
  }

  // dx, of dy's kind; adds to the gradients. Throws heed::Error where dy or the gradients are not
  // of the saved call.
  template <Tokens D>
  auto backward(const D& dy, const Saved& saved, FeedForward& gradients,
                const Options& options = {}) const {
    const auto x = view_of(saved.x);
    const auto d = gradient_of(dy, features(), x, "heed::nn::FeedForward::backward");
    const Options replayed = saved.dropout.with(options);
    const TokenDropout drops(dropout_, DropoutSite::feed_forward_output, replayed);
    Tensor3<T> d_out;
    if (drops.active()) {
      d_out = kept(d);
      drop_into(mutable_view_of(d_out), dropout_, DropoutSite::feed_forward_output, replayed);
    }
    const auto d_y = drops.active() ? view_of(d_out) : d;
    auto d_hidden = make_tensor3<T>(x.extent[0], x.extent[1], hidden());
    const auto d_h = mutable_view_of(d_hidden);
    second_.backward_into(d_h, d_y, view_of(saved.hidden), gradients.second_, options);
    activation_gradient_tokens(activation_, view_of(saved.before), d_h,
                               TokenDropout(hidden_dropout_, DropoutSite::hidden, replayed),
                               options);
    auto dx = make_tokens(dy, features());
    first_.backward_into(made_view<D>(dx), d_h.as_const(), x, gradients.first_, options);
    return dx;
  }

  template <Tokens X>
  std::size_t workspace_bytes(const X& x, const Options& options = {}) const {
    const auto tokens = tokens_of(x, features(), "heed::nn::FeedForward::workspace_bytes");
    return Scratch::with_slack(scratch_bytes(token_count(tokens), options));
  }

  // Of forward for so many tokens, at an aligned address.
  std::size_t scratch_bytes(Index tokens, const Options& options) const {
    return own_bytes(tokens) + parts_bytes(tokens, options);
  }

  // Names: first.weight, first.bias, second.weight, second.bias.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.first_, visit, prefix + "first.");
    nn::each_parameter(self.second_, visit, prefix + "second.");
  }

 private:
  std::size_t own_bytes(Index tokens) const {
    Carver counter(nullptr);
    carve_tokens<T>(counter, 1, tokens, hidden());
    return counter.used();
  }
  std::size_t parts_bytes(Index tokens, const Options& options) const {
    return std::max(first_.scratch_bytes(tokens, options), second_.scratch_bytes(tokens, options));
  }

  void run(const View<T, 3>& y, const View<const T, 3>& x, const Options& options) const {
    const Index tokens = token_count(x);
    const Workspace room(own_bytes(tokens), parts_bytes(tokens, options), options);
    Carver carver(room.begin());
    const auto middle = carve_tokens<T>(carver, x.extent[0], x.extent[1], hidden());
    affine_into(middle, x, first_.affine(), room.parts(), activation_);
    drop_into(middle, hidden_dropout_, DropoutSite::hidden, options);
    affine_into(y, middle.as_const(), second_.affine(), room.parts());
    drop_into(y, dropout_, DropoutSite::feed_forward_output, options);
  }

  Linear<T> first_;
  Linear<T> second_;
  F activation_;
  double dropout_, hidden_dropout_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
