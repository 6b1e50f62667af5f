// One layer of a transformer decoder: causal self-attention, attention to an encoder's output where
// the options have it, and feed-forward, each with a residual and a norm.
// Vaswani et al. (2017), section 3.1.
#pragma once

#include <string>
#include <utility>

#include "heed/nn/decoder_parts.hpp"

namespace heed::nn {

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
  using Saved = DecoderSaved<T, F>;
  using SavedWithMemory = DecoderSavedWithMemory<T, F>;

  // Throws heed::Error where the features do not divide among the heads.
  explicit DecoderBlock(Index features, const DecoderBlockOptions& options = {},
                        const F& activation = {})
      : parts_(features, options, activation) {}

  const MultiHeadAttention<T>& attention() const { return parts_.attention(); }
  bool has_cross_attention() const { return parts_.has_cross_attention(); }
  Index features() const { return parts_.features(); }

  // x [B, L, features] or [L, features]; the same shape and kind comes back. Mask and score are
  // those of self-attention, which `attend` computes. Throws heed::Error where shapes disagree, or
  // for a block with cross-attention. Blocks of one stack drop alike unless each has a seed of its
  // own: layer_options(options, n).
  template <Tokens X, class M = mask::None, class S = score::None, class Attend = AttendHere>
  requires(!Tokens<M>) auto forward(const X& x, const M& mask = {}, const S& score = {},
                                    const Options& options = {}, const Attend& attend = {}) const {
    const auto in = tokens_of(x, features(), "heed::nn::DecoderBlock::forward");
    auto out = make_tokens(x, features());
    parts_.run(made_view<X>(out), in, mask, score, options, attend);
    return out;
  }

  // forward of tokens behind those of a cache, as MultiHeadAttention::forward with one.
  template <Tokens X, GrowingCache C, class M = mask::None, class S = score::None>
  auto forward(const X& x, C& cache, const M& mask = {}, const S& score = {},
               const Options& options = {}) const {
    return forward(x, AttendCache<C>{cache}, mask, score, options);
  }
  template <Tokens X, GrowingCache C, class M = mask::None, class S = score::None>
  auto forward(const X& x, const AttendCache<C>& cache, const M& mask = {}, const S& score = {},
               const Options& options = {}) const {
    return forward_behind(
        cache, [&](const auto& attend) { return forward(x, mask, score, options, attend); });
  }

  // The same with memory [B, Lk, source_features], an encoder's output, under a mask of its own.
  template <Tokens X, Tokens K, class M = mask::None, class N = mask::None, class S = score::None,
            class Attend = AttendHere>
  auto forward(const X& x, const K& memory, const M& mask = {}, const N& memory_mask = {},
               const S& score = {}, const Options& options = {}, const Attend& attend = {}) const {
    constexpr const char* call = "heed::nn::DecoderBlock::forward";
    const auto in = tokens_of(x, features(), call);
    auto out = make_tokens(x, features());
    parts_.run(made_view<X>(out), in, parts_.memory_of(call, memory, in), mask, memory_mask, score,
               options, attend);
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
    parts_.run(to, in, mask, score, options, attend);
  }
  template <class Out, Tokens X, Tokens K, class M = mask::None, class N = mask::None,
            class S = score::None, class Attend = AttendHere>
  void forward_into(Out&& out, const X& x, const K& memory, const M& mask = {},
                    const N& memory_mask = {}, const S& score = {}, const Options& options = {},
                    const Attend& attend = {}) const {
    constexpr const char* call = "heed::nn::DecoderBlock::forward_into";
    const auto in = tokens_of(x, features(), call);
    const auto source = parts_.memory_of(call, memory, in);
    const auto to = out_view<X>(out);
    check_out(call, to, in, "x", features(), options, true);
    check_apart(call, to, source, "memory", options, false);
    parts_.run(to, in, source, mask, memory_mask, score, options, attend);
  }

  // {out, saved}; memory O((L + Lk) · features + L · hidden).
  template <Tokens X, class M = mask::None, class S = score::None>
  requires(!Tokens<M>) auto forward_train(const X& x, const M& mask = {}, const S& score = {},
                                          const Options& options = {}) const {
    parts_.check_cross_attention(false);
    auto in = kept(tokens_of(x, features(), "heed::nn::DecoderBlock::forward_train"));
    Saved saved;
    auto y = parts_.forward_train(std::move(in), saved, mask, score, options);
    return OutWithSaved{of_kind(x, std::move(y)), std::move(saved)};
  }
  // x is kept without a copy.
  template <class M = mask::None, class S = score::None>
  requires(!Tokens<M>) OutWithSaved<Tensor3<T>, Saved> forward_train(Tensor3<T>&& x,
                                                                     const M& mask = {},
                                                                     const S& score = {},
                                                                     const Options& options = {})
  const {
    parts_.check_cross_attention(false);
    tokens_of(x, features(), "heed::nn::DecoderBlock::forward_train");
    Saved saved;
    auto y = parts_.forward_train(std::move(x), saved, mask, score, options);
    return {std::move(y), std::move(saved)};
  }
  template <Tokens X, Tokens K, class M = mask::None, class N = mask::None, class S = score::None>
  auto forward_train(const X& x, const K& memory, const M& mask = {}, const N& memory_mask = {},
                     const S& score = {}, const Options& options = {}) const {
    constexpr const char* call = "heed::nn::DecoderBlock::forward_train";
    auto in = kept(tokens_of(x, features(), call));
    const auto source = parts_.memory_of(call, memory, view_of(in));
    SavedWithMemory saved;
    auto y = parts_.forward_train(std::move(in), source, saved, mask, memory_mask, score, options);
    return OutWithSaved{of_kind(x, std::move(y)), std::move(saved)};
  }

  // dx, of dy's kind, or {d_x, d_memory}; adds to the gradients. Masks and score are the forward
  // call's. Throws heed::Error where dy or the gradients are not of the saved call.
  template <Tokens D, class M = mask::None, class S = score::None>
  auto backward(const D& dy, const Saved& saved, DecoderBlock& gradients, const M& mask = {},
                const S& score = {}, const Options& options = {}) const {
    parts_.check_cross_attention(false);
    const auto d = tokens_of(dy, features(), "heed::nn::DecoderBlock::backward", "dy");
    return of_kind(
        dy, parts_.backward(packed_tokens(dy, d), saved, gradients.parts_, mask, score, options));
  }
  template <Tokens D, class M = mask::None, class N = mask::None, class S = score::None>
  auto backward(const D& dy, const SavedWithMemory& saved, DecoderBlock& gradients,
                const M& mask = {}, const N& memory_mask = {}, const S& score = {},
                const Options& options = {}) const {
    parts_.check_cross_attention(true);
    const auto d = kept(tokens_of(dy, features(), "heed::nn::DecoderBlock::backward", "dy"));
    Tensor3<T> d_memory;
    auto dx = of_kind(dy, parts_.backward(d, d_memory, saved, gradients.parts_, mask, memory_mask,
                                          score, options));
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
    const auto source = parts_.memory_of(call, memory, in);
    return Scratch::with_slack(parts_.scratch_bytes(in.extent[0], in.extent[1], source, mask,
                                                    memory_mask, score, options));
  }

  // Of forward for x [B, L, features] without memory, at an aligned address.
  template <class M, class S>
  std::size_t scratch_bytes(Index B, Index L, const M& mask, const S& score,
                            const Options& options) const {
    return parts_.scratch_bytes(B, L, mask, score, options);
  }

  // Names: attention.…, norm1.…, feed_forward.…, norm2.…; with cross-attention attention.…,
  // norm1.…, cross_attention.…, norm2.…, feed_forward.…, norm3.…
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    self.parts_.each_parameter(self.parts_, visit, prefix);
  }

 private:
  DecoderParts<T, F> parts_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
