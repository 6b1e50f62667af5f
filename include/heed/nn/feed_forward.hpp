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
    Tensor3<T> before;  // [B, L, hidden], before the activation, which backward computes again
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
    auto trained = forward_train(
        kept(tokens_of(x, features(), "heed::nn::FeedForward::forward_train")), options);
    return OutWithSaved{of_kind(x, std::move(trained.out)), std::move(trained.saved)};
  }
  // x is kept without a copy.
  OutWithSaved<Tensor3<T>, Saved> forward_train(Tensor3<T>&& x, const Options& options = {}) const {
    tokens_of(x, features(), "heed::nn::FeedForward::forward_train");
    auto saved = save(std::move(x), options);
    auto y = make_tensor3<T>(saved.x.dimension(0), saved.x.dimension(1), features());
    second_map(mutable_view_of(y), saved, options);
    drop_into(mutable_view_of(y), dropout_, DropoutSite::feed_forward_output, options);
    return {std::move(y), std::move(saved)};
  }

  // The saved of forward_train alone, without the second map.
  Saved save(Tensor3<T> x, const Options& options = {}) const {
    auto before = first_.forward(x, options);
    return {std::move(x), std::move(before), SavedDropout(options)};
  }

  // dx, of dy's kind; adds to the gradients. Throws heed::Error where dy or the gradients are not
  // of the saved call.
  template <Tokens D>
  auto backward(const D& dy, const Saved& saved, FeedForward& gradients,
                const Options& options = {}) const {
    constexpr const char* call = "heed::nn::FeedForward::backward";
    const auto x = view_of(saved.x);
    const auto d = gradient_of(dy, features(), x, call);
    check_saved(x, features(), call);
    check_saved(view_of(saved.before), hidden(), call);
    const Options replayed = saved.dropout.with(options);
    const TokenDropout drops(dropout_, DropoutSite::feed_forward_output, replayed);
    Tensor3<T> dropped;
    if (drops.active()) {
      dropped = kept(d);
      drop_into(mutable_view_of(dropped), dropout_, DropoutSite::feed_forward_output, replayed);
    }
    auto dx = make_tensor3<T>(x.extent[0], x.extent[1], features());
    maps_backward(mutable_view_of(dx), drops.active() ? view_of(dropped) : d, saved, gradients,
                  replayed);
    return of_kind(dy, std::move(dx));
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

  // f(first, hidden) for up to 512 tokens at a time: hidden [1, count, hidden], which f may change,
  // is what forward gave the second map for tokens `first` ….
  template <class Each>
  void for_each_block(const Saved& saved, const Options& options, const Each& f) const {
    const auto before = view_of(saved.before);
    const Index tokens = token_count(before), most = WeightGradientBlock<T>::tokens;
    auto room = make_tensor3<T>(1, std::min(tokens, most), hidden());
    const TokenDropout drops(hidden_dropout_, DropoutSite::hidden, options);
    for (Index first = 0; first < tokens; first += most) {
      const auto block = view(room.data(), {1, std::min(most, tokens - first), hidden()});
      activate_tokens(activation_, before, first, block, drops, options);
      f(first, block);
    }
  }

  // y [B, L, features], packed, of what is saved.
  void second_map(const View<T, 3>& y, const Saved& saved, const Options& options) const {
    Options own = options;
    own.workspace = {};
    Affine<T> map = second_.affine();
    std::optional<PackedWeight<T>> packed;
    if (!map.packed.serves(own)) map.packed = packed.emplace(map.weight, own).rows(0);
    for_each_block(saved, own, [&](Index first, const View<T, 3>& block) {
      const auto to = view(y.data + first * features(), {1, block.extent[1], features()});
      affine_into(to, block.as_const(), map, own);
    });
  }

  // dx of dy, both maps together, so that a block's hidden features and then their gradient have
  // one memory. `options` have the saved call's dropout.
  //   dx  [B, L, features], packed, written
  void maps_backward(const View<T, 3>& dx, const View<const T, 3>& dy, const Saved& saved,
                     FeedForward& gradients, const Options& options) const {
    check_trainable<T>();
    Options own = options;
    own.workspace = {};
    const auto d_first = gradients.first_.gradient_rows(0, hidden(), first_);
    const auto d_second = gradients.second_.gradient_rows(0, features(), second_);
    const TokenRows<T> d_rows(dy);
    const View<const T, 2> x = TokenRows<T>(view_of(saved.x)).view();
    const auto back_first = transposed(first_.affine().weight);
    const auto back_second = transposed(second_.affine().weight);
    const PackedWeight<T> packed_first(back_first, own), packed_second(back_second, own);
    WeightGradientBlock<T> first_block(features(), hidden(), own);
    WeightGradientBlock<T> second_block(hidden(), features(), own);
    const TokenDropout drops(hidden_dropout_, DropoutSite::hidden, options);
    auto totals = zeros<double>(hidden());
    if (d_second.bias != nullptr) add_column_sums(d_second.bias, d_rows.view(), own);
    for_each_block(saved, own, [&](Index first, const View<T, 3>& block) {
      const Index count = block.extent[1];
      const auto rows = view(block.data, {count, hidden()});
      const auto d = slice(d_rows.view(), first, count);
      second_block.add(d_second.weight, d, rows.as_const());
      affine_into(block, {d.data, {1, count, features()}, {0, d.stride[0], d.stride[1]}},
                  {back_second, nullptr, packed_second.rows(0)}, own);
      activation_gradient_tokens(activation_, view_of(saved.before), first, block, drops, own);
      if (d_first.bias != nullptr) add_column_totals(totals.data(), rows.as_const(), own);
      first_block.add(d_first.weight, rows.as_const(), slice(x, first, count));
      affine_into(view(dx.data + first * features(), {1, count, features()}), block.as_const(),
                  {back_first, nullptr, packed_first.rows(0)}, own);
    });
    if (d_first.bias != nullptr) add_totals(d_first.bias, totals);
  }

  Linear<T> first_;
  Linear<T> second_;
  F activation_;
  double dropout_, hidden_dropout_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
