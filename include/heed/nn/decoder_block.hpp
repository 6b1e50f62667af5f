// One layer of a transformer decoder: causal self-attention, attention to an encoder's output where
// the options have it, and feed-forward, each with a residual and a norm.
// Vaswani et al. (2017), section 3.1.
#pragma once

#include <optional>
#include <string>

#include "heed/mask/combine.hpp"
#include "heed/mask/window.hpp"
#include "heed/nn/sublayers.hpp"

namespace heed::nn {

// Every dropout is of Mode::train; presets.hpp has torch's and GPT-2's.
struct DecoderBlockOptions {
  MultiHeadAttentionOptions attention = {};
  std::optional<MultiHeadAttentionOptions> cross_attention = {};  // to memory [B, Lk, …]; or none
  Index hidden = 0;  // of the feed-forward part; 0: 4 · features
  NormPlace norm = NormPlace::post;
  double eps = 1e-5;                    // of every norm
  Bias bias = Bias::yes;                // no: the whole block, attention included, has none
  double dropout = 0;                   // of the feed-forward part, where FeedForward drops
  double attention_output_dropout = 0;  // of both attentions' outputs, before the residual is added
  bool causal = true;  // a token sees none behind it; the caller's mask narrows that further
};

// The result of backward with cross-attention.
template <class X, class T>
struct DecoderGradients {
  X d_x;                // [B, L, features], of dy's kind
  Tensor3<T> d_memory;  // [B, Lk, source_features]
};
template <class X, class T>
DecoderGradients(X, Tensor3<T>) -> DecoderGradients<X, T>;

inline namespace HEED_ABI {

template <class T, Activation<T> F = Gelu>
class DecoderBlock {
 public:
  struct Saved {
    typename AttentionSublayer<T>::Saved attention;
    typename FeedForwardSublayer<T, F>::Saved feed_forward;
  };
  // Of a call with an encoder's output.
  struct SavedWithMemory {
    Saved own;
    typename AttentionSublayer<T>::Saved cross_attention;
  };

  // Throws heed::Error where the features do not divide among the heads.
  explicit DecoderBlock(Index features, const DecoderBlockOptions& options = {},
                        const F& activation = {})
      : attention_(name, features, options.attention, sublayer(options),
                   options.attention_output_dropout),
        feed_forward_(features, options.hidden, sublayer(options), options.dropout, activation),
        place_(options.norm),
        causal_(mask::window(far, options.causal ? 0 : far)) {
    if (!options.cross_attention) return;
    cross_attention_.emplace(name, features, *options.cross_attention, sublayer(options),
                             options.attention_output_dropout);
  }

  const MultiHeadAttention<T>& attention() const { return attention_.attention(); }
  bool has_cross_attention() const { return cross_attention_.has_value(); }
  Index features() const { return attention_.features(); }

  // x [B, L, features] or [L, features]; the same shape and kind comes back. Mask and score are
  // those of self-attention, which `attend` computes. Throws heed::Error where shapes disagree, or
  // for a block with cross-attention. Blocks of one stack drop alike unless each has a seed of its
  // own: layer_options(options, n).
  template <Tokens X, class M = mask::None, class S = score::None, class Attend = AttendHere>
  requires(!Tokens<M>) auto forward(const X& x, const M& mask = {}, const S& score = {},
                                    const Options& options = {}, const Attend& attend = {}) const {
    const auto in = tokens_of(x, features(), "heed::nn::DecoderBlock::forward");
    auto out = make_tokens(x, features());
    run(made_view<X>(out), in, mask, score, options, attend);
    return out;
  }

  // The same with memory [B, Lk, source_features], an encoder's output, under a mask of its own.
  template <Tokens X, Tokens K, class M = mask::None, class N = mask::None, class S = score::None,
            class Attend = AttendHere>
  auto forward(const X& x, const K& memory, const M& mask = {}, const N& memory_mask = {},
               const S& score = {}, const Options& options = {}, const Attend& attend = {}) const {
    constexpr const char* call = "heed::nn::DecoderBlock::forward";
    const auto in = tokens_of(x, features(), call);
    auto out = make_tokens(x, features());
    run(made_view<X>(out), in, memory_of(call, memory, in), mask, memory_mask, score, options,
        attend);
    return out;
  }

  // forward into out, of x's shape; out may be x. Allocates nothing where options.workspace has
  // workspace_bytes(…) of the same arguments.
  template <class Out, Tokens X, class M = mask::None, class S = score::None,
            class Attend = AttendHere>
  requires(!Tokens<M>) void forward_into(Out&& out, const X& x, const M& mask = {},
                                         const S& score = {}, const Options& options = {},
                                         const Attend& attend = {}) const {
    constexpr const char* call = "heed::nn::DecoderBlock::forward_into";
    const auto in = tokens_of(x, features(), call);
    const auto to = out_view<X>(out);
    check_out(call, to, in, "x", features(), options, true);
    run(to, in, mask, score, options, attend);
  }
  template <class Out, Tokens X, Tokens K, class M = mask::None, class N = mask::None,
            class S = score::None, class Attend = AttendHere>
  void forward_into(Out&& out, const X& x, const K& memory, const M& mask = {},
                    const N& memory_mask = {}, const S& score = {}, const Options& options = {},
                    const Attend& attend = {}) const {
    constexpr const char* call = "heed::nn::DecoderBlock::forward_into";
    const auto in = tokens_of(x, features(), call);
    const auto source = memory_of(call, memory, in);
    const auto to = out_view<X>(out);
    check_out(call, to, in, "x", features(), options, true);
    check_apart(call, to, source, "memory", options, false);
    run(to, in, source, mask, memory_mask, score, options, attend);
  }

  // {out, saved}; memory O((L + Lk) · features + L · hidden).
  template <Tokens X, class M = mask::None, class S = score::None>
  requires(!Tokens<M>) auto forward_train(const X& x, const M& mask = {}, const S& score = {},
                                          const Options& options = {}) const {
    check_cross_attention(false);
    const auto in = kept(tokens_of(x, features(), "heed::nn::DecoderBlock::forward_train"));
    Saved saved;
    const auto middle =
        attention_.train(in, nullptr, saved.attention, narrowed(mask), score, options);
    const auto y = feed_forward_.train(middle, saved.feed_forward, options);
    return OutWithSaved{of_kind(x, y), std::move(saved)};
  }
  template <Tokens X, Tokens K, class M = mask::None, class N = mask::None, class S = score::None>
  auto forward_train(const X& x, const K& memory, const M& mask = {}, const N& memory_mask = {},
                     const S& score = {}, const Options& options = {}) const {
    constexpr const char* call = "heed::nn::DecoderBlock::forward_train";
    const auto in = kept(tokens_of(x, features(), call));
    const auto source = memory_of(call, memory, view_of(in));
    SavedWithMemory saved;
    auto& [own, cross] = saved;
    const auto first = attention_.train(in, nullptr, own.attention, narrowed(mask), score, options);
    const auto second = cross_attention_->train(first, &source, cross, memory_mask, score::None{},
                                                cross_options(options));
    const auto y = feed_forward_.train(second, own.feed_forward, options);
    return OutWithSaved{of_kind(x, y), std::move(saved)};
  }

  // dx, of dy's kind, or {d_x, d_memory}; adds to the gradients. Masks and score are the forward
  // call's. Throws heed::Error where dy or the gradients are not of the saved call.
  template <Tokens D, class M = mask::None, class S = score::None>
  auto backward(const D& dy, const Saved& saved, DecoderBlock& gradients, const M& mask = {},
                const S& score = {}, const Options& options = {}) const {
    check_cross_attention(false);
    const auto d = kept(tokens_of(dy, features(), "heed::nn::DecoderBlock::backward", "dy"));
    const auto d_middle =
        feed_forward_.backward(d, saved.feed_forward, gradients.feed_forward_, options);
    return of_kind(dy, attention_.backward(d_middle, nullptr, saved.attention, gradients.attention_,
                                           narrowed(mask), score, options));
  }
  template <Tokens D, class M = mask::None, class N = mask::None, class S = score::None>
  auto backward(const D& dy, const SavedWithMemory& saved, DecoderBlock& gradients,
                const M& mask = {}, const N& memory_mask = {}, const S& score = {},
                const Options& options = {}) const {
    constexpr const char* call = "heed::nn::DecoderBlock::backward";
    check_cross_attention(true);
    require(gradients.has_cross_attention(), call, "the gradients are another module's",
            [&] { return "dy " + to_string(view_of(dy)); });
    const auto& [own, cross] = saved;
    const auto d = kept(tokens_of(dy, features(), call, "dy"));
    const auto d_second =
        feed_forward_.backward(d, own.feed_forward, gradients.feed_forward_, options);
    Tensor3<T> d_memory;
    const auto d_first =
        cross_attention_->backward(d_second, &d_memory, cross, *gradients.cross_attention_,
                                   memory_mask, score::None{}, options);
    auto dx = of_kind(dy, attention_.backward(d_first, nullptr, own.attention, gradients.attention_,
                                              narrowed(mask), score, options));
    return DecoderGradients{std::move(dx), std::move(d_memory)};
  }

  template <Tokens X, class M = mask::None, class S = score::None>
  requires(!Tokens<M>) std::size_t workspace_bytes(const X& x, const M& mask = {},
                                                   const S& score = {}, const Options& options = {})
  const {
    const auto in = tokens_of(x, features(), "heed::nn::DecoderBlock::workspace_bytes");
    return Scratch::with_slack(scratch_bytes(in.extent[0], in.extent[1], mask, score, options));
  }
  template <Tokens X, Tokens K, class M = mask::None, class N = mask::None, class S = score::None>
  std::size_t workspace_bytes(const X& x, const K& memory, const M& mask = {},
                              const N& memory_mask = {}, const S& score = {},
                              const Options& options = {}) const {
    constexpr const char* call = "heed::nn::DecoderBlock::workspace_bytes";
    const auto in = tokens_of(x, features(), call);
    const auto source = memory_of(call, memory, in);
    const Index B = in.extent[0], L = in.extent[1];
    return Scratch::with_slack(own_bytes(B, L, true) +
                               parts_bytes(B, L, source, mask, memory_mask, score, options));
  }

  // Of forward for x [B, L, features] without memory, at an aligned address.
  template <class M, class S>
  std::size_t scratch_bytes(Index B, Index L, const M& mask, const S& score,
                            const Options& options) const {
    return own_bytes(B, L, false) + parts_bytes(B, L, mask, score, options);
  }

  // Names: attention.…, norm1.…, feed_forward.…, norm2.…; with cross-attention attention.…,
  // norm1.…, cross_attention.…, norm2.…, feed_forward.…, norm3.…
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    self.attention_.each_parameter(self.attention_, visit, prefix + "attention.",
                                   prefix + "norm1.");
    if (self.cross_attention_) {
      self.cross_attention_->each_parameter(*self.cross_attention_, visit,
                                            prefix + "cross_attention.", prefix + "norm2.");
    }
    self.feed_forward_.each_parameter(self.feed_forward_, visit, prefix + "feed_forward.",
                                      prefix + (self.cross_attention_ ? "norm3." : "norm2."));
  }

 private:
  static constexpr const char* name = "heed::nn::DecoderBlock";
  static constexpr Index far = Index{1} << 32;  // keys, wherever the queries stand

  static SublayerOptions sublayer(const DecoderBlockOptions& options) {
    return {options.norm, options.eps, options.bias};
  }

  // The caller's mask of self-attention, and causality.
  template <class M>
  auto narrowed(const M& mask) const {
    using mask::operator&;
    return causal_ & mask::as_mask(mask);
  }

  // Cross-attention drops words of its own.
  static Options cross_options(Options options) {
    options.seed = site_seed(options.seed, DropoutSite::cross_attention);
    return options;
  }

  void check_cross_attention(bool with_memory) const {
    if (has_cross_attention() == with_memory) return;
    throw Error(with_memory ? "heed::nn::DecoderBlock: memory is given to a block without "
                              "cross_attention in its options"
                            : "heed::nn::DecoderBlock: a block with cross-attention needs memory, "
                              "the encoder's output, after x");
  }

  template <Tokens K>
  View<const T, 3> memory_of(const char* call, const K& memory, const View<const T, 3>& x) const {
    check_cross_attention(true);
    const Index size = cross_attention_->attention().options().source_features;
    const auto source = tokens_of(memory, size, call, "memory");
    require_equal(source.extent[0], x.extent[0], "memory has batch", "x has batch", call,
                  [&] { return "memory " + to_string(source) + ", x " + to_string(x); });
    return source;
  }

  template <Tokens X>
  auto of_kind(const X& x, const Tensor3<T>& y) const {
    auto out = make_tokens(x, features());
    copy_tokens(made_view<X>(out), view_of(y));
    return out;
  }

  // The results of the sub-layers but the last, and room for a norm.
  struct Memory {
    View<T, 3> first, second, normed;  // [B, L, features] each; not all are used
    std::size_t bytes;

    Memory(std::byte* begin, Index B, Index L, Index features, bool has_second, bool has_normed) {
      Carver carver(begin);
      first = carve_tokens<T>(carver, B, L, features);
      second = carve_tokens<T>(carver, B, has_second ? L : 0, features);
      normed = carve_tokens<T>(carver, B, has_normed ? L : 0, features);
      bytes = carver.used();
    }
  };
  Memory memory(std::byte* begin, Index B, Index L, bool with_memory) const {
    return {begin, B, L, features(), with_memory, place_ == NormPlace::pre};
  }
  std::size_t own_bytes(Index B, Index L, bool with_memory) const {
    return memory(nullptr, B, L, with_memory).bytes;
  }

  template <class M, class S>
  std::size_t parts_bytes(Index B, Index L, const M& mask, const S& score,
                          const Options& options) const {
    return std::max(attention_.scratch_bytes(B, L, L, narrowed(mask), score, options),
                    feed_forward_.scratch_bytes(checked_product(B, L), options));
  }
  template <class M, class N, class S>
  std::size_t parts_bytes(Index B, Index L, const View<const T, 3>& source, const M& mask,
                          const N& memory_mask, const S& score, const Options& options) const {
    return std::max(parts_bytes(B, L, mask, score, options),
                    cross_attention_->scratch_bytes(B, L, source.extent[1], memory_mask,
                                                    score::None{}, options));
  }

  // Nothing is read from x once out is written.
  template <class M, class S, class Attend>
  void run(const View<T, 3>& out, const View<const T, 3>& x, const M& mask, const S& score,
           const Options& options, const Attend& attend) const {
    check_not_tensors<M, S>();
    check_cross_attention(false);
    const Index B = x.extent[0], L = x.extent[1];
    const Workspace room(own_bytes(B, L, false), parts_bytes(B, L, mask, score, options), options);
    const Memory own = memory(room.begin(), B, L, false);
    attention_.run(own.first, x, nullptr, own.normed, narrowed(mask), score, room.parts(), attend);
    feed_forward_.run(out, own.first.as_const(), own.normed, room.parts());
  }
  template <class M, class N, class S, class Attend>
  void run(const View<T, 3>& out, const View<const T, 3>& x, const View<const T, 3>& source,
           const M& mask, const N& memory_mask, const S& score, const Options& options,
           const Attend& attend) const {
    check_not_tensors<M, S>();
    check_not_tensors<N, S>();
    const Index B = x.extent[0], L = x.extent[1];
    const Workspace room(own_bytes(B, L, true),
                         parts_bytes(B, L, source, mask, memory_mask, score, options), options);
    const Memory own = memory(room.begin(), B, L, true);
    attention_.run(own.first, x, nullptr, own.normed, narrowed(mask), score, room.parts(), attend);
    cross_attention_->run(own.second, own.first.as_const(), &source, own.normed, memory_mask,
                          score::None{}, cross_options(room.parts()), attend);
    feed_forward_.run(out, own.second.as_const(), own.normed, room.parts());
  }

  AttentionSublayer<T> attention_;
  std::optional<AttentionSublayer<T>> cross_attention_;
  FeedForwardSublayer<T, F> feed_forward_;
  NormPlace place_;
  mask::Window causal_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
