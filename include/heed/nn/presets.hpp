// Modules that are multi-head attention with some arguments already chosen.
#pragma once

#include <vector>

#include "heed/mask/combine.hpp"
#include "heed/mask/window.hpp"
#include "heed/nn/decoder_block.hpp"
#include "heed/nn/encoder_block.hpp"
#include "heed/nn/multi_head_attention.hpp"
#include "heed/score/alibi.hpp"
#include "heed/score/combine.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// Multi-head attention as research code often has it: no biases, dropout 0.1 in training. Never
// forming the scores is what heed's attention does anyway, so there is no second, efficient one.
inline MultiHeadAttentionOptions unbiased(Index heads) {
  return {.heads = heads, .bias = Bias::no, .dropout = 0.1};
}

// The same with a bias in each projection.
inline MultiHeadAttentionOptions biased(Index heads) { return {.heads = heads, .dropout = 0.1}; }

// An encoder block as tutorials have it: biases, norms after, dropout of the weights, after the
// activation and after the second map. hidden 0: 4 · features.
inline EncoderBlockOptions tutorial_block(Index heads, Index hidden = 0, double dropout = 0.1) {
  return {.attention = {.heads = heads, .dropout = dropout}, .hidden = hidden, .dropout = dropout};
}

// torch.nn.TransformerEncoderLayer(features, heads, hidden, dropout, bias=…), which also drops
// attention's output. Its default activation is ReLU: EncoderBlock<T, nn::Relu>. Its weights are
// loaded by load_torch (torch_names.hpp).
inline EncoderBlockOptions torch_block(Index heads, Index hidden = 2048, double dropout = 0.1,
                                       Bias bias = Bias::yes, NormPlace norm = NormPlace::post) {
  return {.attention = {.heads = heads, .projection = Projection::fused, .dropout = dropout},
          .hidden = hidden,
          .norm = norm,
          .bias = bias,
          .dropout = dropout,
          .attention_output_dropout = dropout};
}

// torch.nn.TransformerDecoderLayer(features, heads, hidden, dropout, bias=…), causal. Its default
// activation is ReLU: DecoderBlock<T, nn::Relu>. Its weights are loaded by load_torch.
inline DecoderBlockOptions torch_decoder_block(Index heads, Index hidden = 2048,
                                               double dropout = 0.1, Bias bias = Bias::yes,
                                               NormPlace norm = NormPlace::post) {
  const MultiHeadAttentionOptions attention{
      .heads = heads, .projection = Projection::fused, .dropout = dropout};
  return {.attention = attention,
          .cross_attention = attention,
          .hidden = hidden,
          .norm = norm,
          .bias = bias,
          .dropout = dropout,
          .attention_output_dropout = dropout};
}

// GPT-2's block: norms before; dropout of the attention weights and of both parts' results, none of
// the hidden features. Of the embedding, which GPT-2 drops too, it is
// CausalLanguageModelOptions::embedding_dropout. Its activation is GELU as tanh approximates it:
// CausalLanguageModel<T, nn::GeluTanh>.
inline DecoderBlockOptions gpt2_block(Index heads, double dropout = 0.1) {
  return {.attention = {.heads = heads, .dropout = dropout},
          .norm = NormPlace::pre,
          .dropout = dropout,
          .hidden_dropout = 0,
          .attention_output_dropout = dropout};
}

// One head over all features, no bias and no projection of the result.
template <class T>
class SelfAttention {
 public:
  explicit SelfAttention(Index features)
      : attention_(features, {.bias = Bias::no, .output_projection = false}) {}

  const MultiHeadAttention<T>& attention() const { return attention_; }

  // {out, weights} of x [B, L, features]: out as x, weights [B, 1, L, L].
  template <Tokens X, class M = mask::None, class S = score::None>
  auto forward(const X& x, const M& mask = {}, const S& score = {},
               const Options& options = {}) const {
    return attention_.forward_with_weights(x, mask, score, options);
  }

  // Names: query.weight, key.weight, value.weight.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.attention_, visit, prefix);
  }

 private:
  MultiHeadAttention<T> attention_;
};

// Self-attention in which a token sees `size / 2` tokens to each side: mask::local(size).
template <class T>
class LocalAttention {
 public:
  // Throws heed::Error where the features do not divide among the heads or the size is negative.
  LocalAttention(Index features, Index heads, Index size = 256)
      : LocalAttention(features, unbiased(heads), size) {}
  LocalAttention(Index features, const MultiHeadAttentionOptions& options, Index size)
      : attention_(features, options), window_(mask::local(size)) {}

  const MultiHeadAttention<T>& attention() const { return attention_; }

  // As MultiHeadAttention::forward; a mask of the caller's narrows the window further.
  template <Tokens X, class M = mask::None, class S = score::None>
  auto forward(const X& x, const M& mask = {}, const S& score = {},
               const Options& options = {}) const {
    using mask::operator&;
    return attention_.forward(x, window_ & mask::as_mask(mask), score, options);
  }
  // The same into out; the workspace is attention().workspace_bytes(x, mask, score, options).
  template <class Out, Tokens X, class M = mask::None, class S = score::None>
  void forward_into(Out&& out, const X& x, const M& mask = {}, const S& score = {},
                    const Options& options = {}) const {
    using mask::operator&;
    attention_.forward_into(out, x, window_ & mask::as_mask(mask), score, options);
  }

  // As MultiHeadAttention's; mask and score as in forward.
  template <Tokens X, class M = mask::None, class S = score::None>
  auto forward_train(const X& x, const M& mask = {}, const S& score = {},
                     const Options& options = {}) const {
    using mask::operator&;
    return attention_.forward_train(x, window_ & mask::as_mask(mask), score, options);
  }
  template <Tokens D, class M = mask::None, class S = score::None>
  auto backward(const D& dy, const SelfAttentionSaved<T>& saved, LocalAttention& gradients,
                const M& mask = {}, const S& score = {}, const Options& options = {}) const {
    using mask::operator&;
    return attention_.backward(dy, saved, gradients.attention_, window_ & mask::as_mask(mask),
                               score, options);
  }

  // Names: those of MultiHeadAttention.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.attention_, visit, prefix);
  }

 private:
  MultiHeadAttention<T> attention_;
  mask::Window window_;
};

// Attention with linear biases: score::alibi with the paper's slopes for these heads.
template <class T>
class AlibiMultiHeadAttention {
 public:
  // Throws heed::Error where the features do not divide among the heads.
  AlibiMultiHeadAttention(Index features, Index heads)
      : AlibiMultiHeadAttention(features, unbiased(heads)) {}
  AlibiMultiHeadAttention(Index features, const MultiHeadAttentionOptions& options)
      : attention_(features, options),
        slopes_(score::alibi_slopes(static_cast<int>(options.heads))) {}

  const MultiHeadAttention<T>& attention() const { return attention_; }
  const std::vector<float>& slopes() const { return slopes_; }  // [heads]

  // As MultiHeadAttention::forward; a score of the caller's comes before the bias.
  template <Tokens X, class M = mask::None, class S = score::None>
  requires(!Tokens<M>) auto forward(const X& x, const M& mask = {}, const S& score = {},
                                    const Options& options = {}) const {
    return forward(x, x, x, mask, score, options);
  }
  template <Tokens X, Tokens K, Tokens V, class M = mask::None, class S = score::None>
  auto forward(const X& query, const K& key, const V& value, const M& mask = {},
               const S& score = {}, const Options& options = {}) const {
    using score::operator>>;
    return attention_.forward(query, key, value, mask,
                              score::as_score(score) >> score::alibi(slopes_), options);
  }
  // The same into out; the workspace is attention().workspace_bytes(x, mask, score, options).
  template <class Out, Tokens X, class M = mask::None, class S = score::None>
  void forward_into(Out&& out, const X& x, const M& mask = {}, const S& score = {},
                    const Options& options = {}) const {
    using score::operator>>;
    attention_.forward_into(out, x, mask, score::as_score(score) >> score::alibi(slopes_), options);
  }

  // As MultiHeadAttention's, of self-attention; mask and score as in forward.
  template <Tokens X, class M = mask::None, class S = score::None>
  auto forward_train(const X& x, const M& mask = {}, const S& score = {},
                     const Options& options = {}) const {
    using score::operator>>;
    return attention_.forward_train(x, mask, score::as_score(score) >> score::alibi(slopes_),
                                    options);
  }
  template <Tokens D, class M = mask::None, class S = score::None>
  auto backward(const D& dy, const SelfAttentionSaved<T>& saved, AlibiMultiHeadAttention& gradients,
                const M& mask = {}, const S& score = {}, const Options& options = {}) const {
    using score::operator>>;
    return attention_.backward(dy, saved, gradients.attention_, mask,
                               score::as_score(score) >> score::alibi(slopes_), options);
  }

  // Names: those of MultiHeadAttention.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.attention_, visit, prefix);
  }

 private:
  MultiHeadAttention<T> attention_;
  std::vector<float> slopes_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
