// One layer of a transformer encoder: attention and feed-forward, each with a residual and a norm.
// Vaswani et al. (2017), section 3.1.
#pragma once

#include <string>

#include "heed/nn/feed_forward.hpp"
#include "heed/nn/multi_head_attention.hpp"
#include "heed/nn/residual.hpp"

namespace heed::nn {

// Every dropout is of Mode::train; presets.hpp has the documents' and torch's.
struct EncoderBlockOptions {
  MultiHeadAttentionOptions attention = {};
  Index hidden = 0;  // of the feed-forward part; 0: 4 · features
  NormPlace norm = NormPlace::post;
  double eps = 1e-5;                    // of both norms; BERT has 1e-12
  Bias bias = Bias::yes;                // no: the whole block, attention included, has none
  double dropout = 0;                   // of the feed-forward part, where FeedForward drops
  double attention_output_dropout = 0;  // of attention's output before the residual is added
};

inline namespace HEED_ABI {

template <class T, Activation<T> F = Gelu>
class EncoderBlock {
 public:
  struct Saved {
    SelfAttentionSaved<T> attention;
    typename LayerNorm<T>::Saved norm1, norm2;
    typename FeedForward<T, F>::Saved feed_forward;
    SavedDropout dropout;
  };

  // Throws heed::Error where the features do not divide among the heads.
  explicit EncoderBlock(Index features, const EncoderBlockOptions& options = {},
                        const F& activation = {})
      : attention_(features, attention_options(options)),
        norm1_(features, {.eps = options.eps, .bias = options.bias}),
        feed_forward_(features, options.hidden == 0 ? 4 * features : options.hidden,
                      FeedForwardOptions{.bias = options.bias, .dropout = options.dropout},
                      activation),
        norm2_(features, {.eps = options.eps, .bias = options.bias}),
        place_(options.norm),
        attention_output_dropout_(options.attention_output_dropout) {
    check_dropout("heed::nn::EncoderBlock", attention_output_dropout_);
    if (attention_.out_features() == features) return;
    throw Error("heed::nn::EncoderBlock: attention gives " +
                std::to_string(attention_.out_features()) + " features, the block has " +
                std::to_string(features));
  }

  const MultiHeadAttention<T>& attention() const { return attention_; }
  Index features() const { return norm1_.features(); }

  // x [B, L, features] or [L, features]; the same shape and kind comes back. Mask and score are
  // attention's, which `attend` computes. Throws heed::Error where shapes disagree. Blocks of one
  // stack drop alike unless each has a seed of its own: layer_options(options, n).
  template <Tokens X, class M = mask::None, class S = score::None, class Attend = AttendHere>
  auto forward(const X& x, const M& mask = {}, const S& score = {}, const Options& options = {},
               const Attend& attend = {}) const {
    const auto in = tokens_of(x, features(), "heed::nn::EncoderBlock::forward");
    auto out = make_tokens(x, features());
    run(made_view<X>(out), in, mask, score, options, attend);
    return out;
  }

  // forward into out, of x's shape; out may be x. Allocates nothing where options.workspace has
  // workspace_bytes(…) of the same arguments.
  template <class Out, Tokens X, class M = mask::None, class S = score::None,
            class Attend = AttendHere>
  void forward_into(Out&& out, const X& x, const M& mask = {}, const S& score = {},
                    const Options& options = {}, const Attend& attend = {}) const {
    constexpr const char* call = "heed::nn::EncoderBlock::forward_into";
    const auto in = tokens_of(x, features(), call);
    const auto to = out_view<X>(out);
    check_out(call, to, in, "x", features(), options, true);
    run(to, in, mask, score, options, attend);
  }

  // {out, saved}; memory O(L · (features + hidden)).
  template <Tokens X, class M = mask::None, class S = score::None>
  auto forward_train(const X& x, const M& mask = {}, const S& score = {},
                     const Options& options = {}) const {
    Saved saved;
    saved.dropout = SavedDropout(options);
    const auto attend = [&](const Tensor3<T>& in) {
      auto trained = attention_.forward_train(in, mask, score, options);
      saved.attention = std::move(trained.saved);
      drop(trained.out, options);
      return std::move(trained.out);
    };
    const auto feed_forward = [&](const Tensor3<T>& in) {
      auto trained = feed_forward_.forward_train(in, options);
      saved.feed_forward = std::move(trained.saved);
      return std::move(trained.out);
    };
    const auto in = kept(tokens_of(x, features(), "heed::nn::EncoderBlock::forward_train"));
    const auto middle = residual_train(place_, in, norm1_, saved.norm1, options, attend);
    const auto y = residual_train(place_, middle, norm2_, saved.norm2, options, feed_forward);
    auto out = make_tokens(x, features());
    copy_tokens(made_view<X>(out), view_of(y));
    return OutWithSaved{std::move(out), std::move(saved)};
  }

  // dx, of dy's kind; adds to the gradients. Mask and score are the forward call's. Throws
  // heed::Error where dy or the gradients are not of the saved call.
  template <Tokens D, class M = mask::None, class S = score::None>
  auto backward(const D& dy, const Saved& saved, EncoderBlock& gradients, const M& mask = {},
                const S& score = {}, const Options& options = {}) const {
    const auto attend = [&](Tensor3<T> d) {
      drop(d, saved.dropout.with(options));
      return attention_.backward(d, saved.attention, gradients.attention_, mask, score, options);
    };
    const auto feed_forward = [&](const Tensor3<T>& d) {
      return feed_forward_.backward(d, saved.feed_forward, gradients.feed_forward_, options);
    };
    const auto d = kept(tokens_of(dy, features(), "heed::nn::EncoderBlock::backward", "dy"));
    const auto d_middle =
        residual_backward(place_, d, norm2_, saved.norm2, gradients.norm2_, options, feed_forward);
    const auto d_in =
        residual_backward(place_, d_middle, norm1_, saved.norm1, gradients.norm1_, options, attend);
    auto dx = make_tokens(dy, features());
    copy_tokens(made_view<D>(dx), view_of(d_in));
    return dx;
  }

  template <Tokens X, class M = mask::None, class S = score::None>
  std::size_t workspace_bytes(const X& x, const M& mask = {}, const S& score = {},
                              const Options& options = {}) const {
    const auto in = tokens_of(x, features(), "heed::nn::EncoderBlock::workspace_bytes");
    return Scratch::with_slack(scratch_bytes(in.extent[0], in.extent[1], mask, score, options));
  }

  // Of forward for x [B, L, features], at an aligned address.
  template <class M, class S>
  std::size_t scratch_bytes(Index B, Index L, const M& mask, const S& score,
                            const Options& options) const {
    return own_bytes(B, L) + parts_bytes(B, L, mask, score, options);
  }

  // Names: attention.…, norm1.…, feed_forward.…, norm2.…
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.attention_, visit, prefix + "attention.");
    nn::each_parameter(self.norm1_, visit, prefix + "norm1.");
    nn::each_parameter(self.feed_forward_, visit, prefix + "feed_forward.");
    nn::each_parameter(self.norm2_, visit, prefix + "norm2.");
  }

 private:
  static MultiHeadAttentionOptions attention_options(const EncoderBlockOptions& options) {
    MultiHeadAttentionOptions attention = options.attention;
    if (options.bias == Bias::no) attention.bias = Bias::no;
    return attention;
  }

  std::size_t own_bytes(Index B, Index L) const {
    Carver counter(nullptr);
    carve_tokens<T>(counter, B, L, features());
    if (place_ == NormPlace::pre) carve_tokens<T>(counter, B, L, features());
    return counter.used();
  }

  template <class M, class S>
  std::size_t parts_bytes(Index B, Index L, const M& mask, const S& score,
                          const Options& options) const {
    const Index tokens = checked_product(B, L);
    return std::max({attention_.scratch_bytes(B, L, L, mask, score, options),
                     norm1_.scratch_bytes(tokens, options),
                     feed_forward_.scratch_bytes(tokens, options)});
  }

  // y = norm(y + x)
  static void add_and_normalise(const View<T, 3>& y, const View<const T, 3>& x,
                                const LayerNorm<T>& norm, const Options& options) {
    add_into(y, x);
    norm.forward_into(y, y.as_const(), options);
  }

  // y = attention of x, dropped.
  template <class M, class S, class Attend>
  void attend_into(const View<T, 3>& y, const View<const T, 3>& x, const M& mask, const S& score,
                   const Options& options, const Attend& attend) const {
    attention_.forward_into(y, x, mask, score, options, attend);
    drop_into(y, attention_output_dropout_, DropoutSite::attention_output, options);
  }

  // Nothing is read from x once out is written.
  template <class M, class S, class Attend>
  void run(const View<T, 3>& out, const View<const T, 3>& x, const M& mask, const S& score,
           const Options& options, const Attend& attend) const {
    check_not_tensors<M, S>();
    const Index B = x.extent[0], L = x.extent[1];
    const Workspace memory(own_bytes(B, L), parts_bytes(B, L, mask, score, options), options);
    Carver carver(memory.begin());
    const auto middle = carve_tokens<T>(carver, B, L, features());
    if (place_ == NormPlace::pre) {
      const auto normed = carve_tokens<T>(carver, B, L, features());
      norm1_.forward_into(normed, x, memory.parts());
      attend_into(middle, normed.as_const(), mask, score, memory.parts(), attend);
      add_into(middle, x);
      norm2_.forward_into(normed, middle.as_const(), memory.parts());
      feed_forward_.forward_into(out, normed.as_const(), memory.parts());
      add_into(out, middle.as_const());
    } else {
      attend_into(middle, x, mask, score, memory.parts(), attend);
      add_and_normalise(middle, x, norm1_, memory.parts());
      feed_forward_.forward_into(out, middle.as_const(), memory.parts());
      add_and_normalise(out, middle.as_const(), norm2_, memory.parts());
    }
  }

  void drop(Tensor3<T>& x, const Options& options) const {
    drop_into(mutable_view_of(x), attention_output_dropout_, DropoutSite::attention_output,
              options);
  }

  MultiHeadAttention<T> attention_;
  LayerNorm<T> norm1_;
  FeedForward<T, F> feed_forward_;
  LayerNorm<T> norm2_;
  NormPlace place_;
  double attention_output_dropout_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
