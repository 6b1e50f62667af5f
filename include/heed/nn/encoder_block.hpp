// One layer of a transformer encoder: attention and feed-forward, each with a residual and a norm.
// Vaswani et al. (2017), section 3.1.
#pragma once

#include <string>

#include "heed/nn/feed_forward.hpp"
#include "heed/nn/layer_norm.hpp"
#include "heed/nn/multi_head_attention.hpp"

namespace heed::nn {

// post: norm(x + part(x)), as the paper and BERT. pre: x + part(norm(x)), as GPT-2; Xiong et al.,
// "On Layer Normalization in the Transformer Architecture" (2020).
enum class NormPlace { post, pre };

struct EncoderBlockOptions {
  MultiHeadAttentionOptions attention = {};
  Index hidden = 0;  // of the feed-forward part; 0: 4 · features
  NormPlace norm = NormPlace::post;
  double eps = 1e-5;  // of both norms; BERT has 1e-12
};

template <class T, Activation<T> F = Gelu>
class EncoderBlock {
 public:
  // Throws heed::Error where the features do not divide among the heads.
  explicit EncoderBlock(Index features, const EncoderBlockOptions& options = {},
                        const F& activation = {})
      : attention_(features, options.attention),
        norm1_(features, {.eps = options.eps}),
        feed_forward_(features, options.hidden == 0 ? 4 * features : options.hidden, activation),
        norm2_(features, {.eps = options.eps}),
        place_(options.norm) {
    if (attention_.out_features() == features) return;
    throw Error("heed::nn::EncoderBlock: attention gives " +
                std::to_string(attention_.out_features()) + " features, the block has " +
                std::to_string(features));
  }

  const MultiHeadAttention<T>& attention() const { return attention_; }
  Index features() const { return norm1_.features(); }

  // x [B, L, features] or [L, features]; the same shape and kind comes back. Mask and score are
  // attention's, which `attend` computes. Throws heed::Error where shapes disagree.
  template <Tokens X, class M = mask::None, class S = score::None, class Attend = AttendHere>
  auto forward(const X& x, const M& mask = {}, const S& score = {}, const Options& options = {},
               const Attend& attend = {}) const {
    const auto in = tokens_of(x, features(), "heed::nn::EncoderBlock::forward");
    if (place_ == NormPlace::pre) {
      auto middle = attention_.forward(norm1_.forward(x, options), mask, score, options, attend);
      add_into(made_view<X>(middle), in);
      auto out = feed_forward_.forward(norm2_.forward(middle, options), options);
      add_into(made_view<X>(out), made_view<X>(middle).as_const());
      return out;
    }
    auto middle = attention_.forward(x, mask, score, options, attend);
    add_and_normalise(made_view<X>(middle), in, norm1_, options);
    auto out = feed_forward_.forward(middle, options);
    add_and_normalise(made_view<X>(out), made_view<X>(middle).as_const(), norm2_, options);
    return out;
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
  // y = norm(y + x)
  static void add_and_normalise(const View<T, 3>& y, const View<const T, 3>& x,
                                const LayerNorm<T>& norm, const Options& options) {
    add_into(y, x);
    norm.forward_into(y, y.as_const(), options);
  }

  MultiHeadAttention<T> attention_;
  LayerNorm<T> norm1_;
  FeedForward<T, F> feed_forward_;
  LayerNorm<T> norm2_;
  NormPlace place_;
};

}  // namespace heed::nn
