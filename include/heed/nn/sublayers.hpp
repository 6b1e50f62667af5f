// The sub-layers of a transformer block: attention and feed-forward, each dropped, with its
// residual and its norm. EncoderBlock and DecoderBlock are made of them. Vaswani et al. (2017),
// section 3.1 and figure 1.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "heed/nn/block_input.hpp"
#include "heed/nn/feed_forward.hpp"
#include "heed/nn/halved.hpp"
#include "heed/nn/multi_head_attention.hpp"
#include "heed/nn/residual.hpp"

namespace heed::nn {

// The options that the sub-layers of a block share.
struct SublayerOptions {
  NormPlace norm = NormPlace::post;
  double eps = 1e-5;
  Bias bias = Bias::yes;                      // no: of norm and part alike
  std::optional<double> hidden_dropout = {};  // as FeedForwardOptions
};

inline namespace HEED_ABI {

// Attention to the tokens themselves, or to a memory: an encoder's output.
template <class T>
class AttentionSublayer {
 public:
  struct Saved {
    MultiHeadSaved<T> attention;
    typename LayerNorm<T>::Saved norm;
    SavedDropout dropout;
    Halved<T> operands = {};  // of attention, in 16 bits; then it has them not
  };

  // `dropout` is of attention's output, before the residual is added. Throws heed::Error, in the
  // name of `block`, where attention does not give the block's features.
  AttentionSublayer(const char* block, Index features, MultiHeadAttentionOptions attention,
                    const SublayerOptions& options, double dropout)
      : attention_(features, with_bias(attention, options.bias)),
        norm_(features, {.eps = options.eps, .bias = options.bias}),
        place_(options.norm),
        dropout_(dropout) {
    check_dropout(block, dropout_);
    if (attention_.out_features() == features) return;
    throw Error(std::string(block) + ": attention gives " +
                std::to_string(attention_.out_features()) + " features, the block has " +
                std::to_string(features));
  }

  const MultiHeadAttention<T>& attention() const { return attention_; }
  Index features() const { return norm_.features(); }

  // y of x, [B, L, features] and apart; memory [B, Lk, source_features], or null for x itself.
  // Mask and score are attention's.
  template <class M, class S, class Attend>
  void run(const View<T, 3>& y, const View<const T, 3>& x, const View<const T, 3>* memory,
           const View<T, 3>& normed, const M& mask, const S& score, const Options& options,
           const Attend& attend) const {
    const auto part = [&](const View<T, 3>& to, const View<const T, 3>& from) {
      const auto& source = memory == nullptr ? from : *memory;
      attention_.forward_into(to, from, source, source, mask, score, options, attend);
      drop_into(to, dropout_, DropoutSite::attention_output, options);
    };
    residual_into(place_, y, x, normed, norm_, options, part);
  }

  // run that keeps what backward needs.
  template <class M, class S>
  Tensor3<T> train(Tensor3<T> x, const View<const T, 3>* memory, Saved& saved, const M& mask,
                   const S& score, const Options& options) const {
    saved.dropout = SavedDropout(options);
    const auto part = [&](Tensor3<T>&& in) {
      Tensor3<T> out;
      if (memory == nullptr) {
        auto trained = attention_.forward_train(std::move(in), mask, score, options);
        saved.attention = std::move(trained.saved.call);
        out = std::move(trained.out);
      } else {
        auto trained =
            attention_.forward_train(std::move(in), *memory, *memory, mask, score, options);
        saved.attention = std::move(trained.saved);
        out = std::move(trained.out);
      }
      drop_into(mutable_view_of(out), dropout_, DropoutSite::attention_output, options);
      return out;
    };
    const auto input = [&]() -> const Tensor3<T>& { return saved.attention.query; };
    auto y = residual_train(place_, std::move(x), norm_, saved.norm, options, part, input);
    saved.operands.take(operands_of(saved.attention), options);
    return y;
  }

  // dx of dy; adds to the gradients. d_memory, null where there was none, is written.
  template <class M, class S>
  Tensor3<T> backward(const Tensor3<T>& dy, Tensor3<T>* d_memory, const Saved& saved,
                      AttentionSublayer& gradients, const M& mask, const S& score,
                      const Options& options) const {
    MultiHeadSaved<T> widened;
    if (!saved.operands.empty()) {
      widened = saved.attention;
      saved.operands.give(operands_of(widened), options);
    }
    const auto& call = saved.operands.empty() ? saved.attention : widened;
    const auto part = [&](Tensor3<T> d) {
      drop_into(mutable_view_of(d), dropout_, DropoutSite::attention_output,
                saved.dropout.with(options));
      auto of = attention_.backward(d, call, gradients.attention_, mask, score, options);
      if (d_memory == nullptr) {
        add_tokens(of.d_query, of.d_key);
        add_tokens(of.d_query, of.d_value);
      } else {
        add_tokens(of.d_key, of.d_value);
        *d_memory = std::move(of.d_key);
      }
      return std::move(of.d_query);
    };
    return residual_backward(place_, dy, norm_, saved.norm, gradients.norm_, options, part);
  }

  template <class M, class S>
  std::size_t scratch_bytes(Index B, Index Lq, Index Lk, const M& mask, const S& score,
                            const Options& options) const {
    return std::max(attention_.scratch_bytes(B, Lq, Lk, mask, score, options),
                    norm_.scratch_bytes(checked_product(B, Lq), options));
  }

  // Names: those of attention and of the norm behind the two prefixes.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& attention,
                             const std::string& norm) {
    nn::each_parameter(self.attention_, visit, attention);
    nn::each_parameter(self.norm_, visit, norm);
  }

 private:
  static MultiHeadAttentionOptions with_bias(MultiHeadAttentionOptions options, Bias bias) {
    if (bias == Bias::no) options.bias = bias;
    return options;
  }

  MultiHeadAttention<T> attention_;
  LayerNorm<T> norm_;
  NormPlace place_;
  double dropout_;
};

template <class T, Activation<T> F>
class FeedForwardSublayer {
 public:
  struct Saved {
    typename FeedForward<T, F>::Saved feed_forward;
    typename LayerNorm<T>::Saved norm;
    Halved<T> halves = {};  // tensors of feed_forward, in 16 bits; then it has them not
  };

  // hidden 0: 4 · features.
  FeedForwardSublayer(Index features, Index hidden, const SublayerOptions& options, double dropout,
                      const F& activation)
      : feed_forward_(
            features, hidden == 0 ? 4 * features : hidden,
            FeedForwardOptions{
                .bias = options.bias, .dropout = dropout, .hidden_dropout = options.hidden_dropout},
            activation),
        norm_(features, {.eps = options.eps, .bias = options.bias}),
        place_(options.norm) {}

  void run(const View<T, 3>& y, const View<const T, 3>& x, const View<T, 3>& normed,
           const Options& options) const {
    residual_into(place_, y, x, normed, norm_, options,
                  [&](const View<T, 3>& to, const View<const T, 3>& from) {
                    feed_forward_.forward_into(to, from, options);
                  });
  }

  Tensor3<T> train(Tensor3<T> x, Saved& saved, const Options& options) const {
    const auto part = [&](Tensor3<T>&& in) {
      auto trained = feed_forward_.forward_train(std::move(in), options);
      saved.feed_forward = std::move(trained.saved);
      return std::move(trained.out);
    };
    const auto input = [&]() -> const Tensor3<T>& { return saved.feed_forward.x; };
    auto y = residual_train(place_, std::move(x), norm_, saved.norm, options, part, input);
    saved.halves.take({&saved.feed_forward.x, &saved.feed_forward.before}, options);
    return y;
  }

  // The saved of train, computed again: with the norm before, no gradient needs the result.
  void save(Tensor3<T> x, Saved& saved, const Options& options) const {
    if (place_ == NormPlace::post) {
      train(std::move(x), saved, options);
      return;
    }
    auto normed = norm_.forward_train(std::move(x), options);
    saved.norm = std::move(normed.saved);
    saved.feed_forward = feed_forward_.save(std::move(normed.out), options);
    saved.halves.take({&saved.feed_forward.x, &saved.feed_forward.before}, options);
  }

  Tensor3<T> backward(const Tensor3<T>& dy, const Saved& saved, FeedForwardSublayer& gradients,
                      const Options& options) const {
    typename FeedForward<T, F>::Saved widened;
    if (!saved.halves.empty()) {
      widened.dropout = saved.feed_forward.dropout;
      saved.halves.give({&widened.x, &widened.before}, options);
    }
    const auto& call = saved.halves.empty() ? saved.feed_forward : widened;
    const auto part = [&](const Tensor3<T>& d) {
      return feed_forward_.backward(d, call, gradients.feed_forward_, options);
    };
    return residual_backward(place_, dy, norm_, saved.norm, gradients.norm_, options, part);
  }

  std::size_t scratch_bytes(Index tokens, const Options& options) const {
    return std::max(feed_forward_.scratch_bytes(tokens, options),
                    norm_.scratch_bytes(tokens, options));
  }

  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& feed_forward,
                             const std::string& norm) {
    nn::each_parameter(self.feed_forward_, visit, feed_forward);
    nn::each_parameter(self.norm_, visit, norm);
  }

 private:
  FeedForward<T, F> feed_forward_;
  LayerNorm<T> norm_;
  NormPlace place_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
