// The sub-layers of a decoder block and how they compute on views: what DecoderBlock, the user's
// page, calls.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "heed/mask/combine.hpp"
#include "heed/mask/window.hpp"
#include "heed/nn/decoder_options.hpp"
#include "heed/nn/decoder_saved.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

template <class T, Activation<T> F>
class DecoderParts {
 public:
  using Saved = DecoderSaved<T, F>;
  using SavedWithMemory = DecoderSavedWithMemory<T, F>;

  DecoderParts(Index features, const DecoderBlockOptions& options, const F& activation)
      : attention_(name, features, options.attention, sublayer(options),
                   options.attention_output_dropout),
        feed_forward_(features, options.hidden, sublayer(options), options.dropout, activation),
        place_(options.norm),
        checkpoint_(options.checkpoint),
        causal_(mask::window(far, options.causal ? 0 : far)) {
    if (!options.cross_attention) return;
    cross_attention_.emplace(name, features, *options.cross_attention, sublayer(options),
                             options.attention_output_dropout);
  }

  const MultiHeadAttention<T>& attention() const { return attention_.attention(); }
  bool has_cross_attention() const { return cross_attention_.has_value(); }
  Index features() const { return attention_.features(); }

  // Throws heed::Error where memory is given to a block that takes none, or is missing.
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

  // Nothing is read from x once out is written.
  template <class M, class S, class Attend>
  void run(const View<T, 3>& out, const View<const T, 3>& x, const M& mask, const S& score,
           const Options& options, const Attend& attend) const {
    check_not_tensors<M, S>();
    check_cross_attention(false);
    const Index B = x.extent[0], L = x.extent[1];
    const auto bytes = parts_bytes(B, L, counted<mask::None>(attend, mask),
                                   counted<score::None>(attend, score), options);
    const Workspace room(own_bytes(B, L, false), bytes, options);
    const Buffers own = buffers(room.begin(), B, L, false);
    attention_.run(own.first, x, nullptr, own.normed, narrowed(mask), score, room.parts(), attend);
    feed_forward_.run(out, own.first.as_const(), own.normed, room.parts());
  }
  template <class M, class N, class S, class Attend>
  void run(const View<T, 3>& out, const View<const T, 3>& x, const View<const T, 3>& source,
           const M& mask, const N& memory_mask, const S& score, const Options& options,
           const Attend& attend) const {
    static_assert(!AttendsBehind<Attend>, "heed::nn::DecoderBlock: pass a cache or memory");
    check_not_tensors<M, S>(), check_not_tensors<N, S>();
    const Index B = x.extent[0], L = x.extent[1];
    const Workspace room(own_bytes(B, L, true),
                         parts_bytes(B, L, source, mask, memory_mask, score, options), options);
    const Buffers own = buffers(room.begin(), B, L, true);
    attention_.run(own.first, x, nullptr, own.normed, narrowed(mask), score, room.parts(), attend);
    cross_attention_->run(own.second, own.first.as_const(), &source, own.normed, memory_mask,
                          score::None{}, cross_options(room.parts()), attend);
    feed_forward_.run(out, own.second.as_const(), own.normed, room.parts());
  }

  // y of x, keeping what backward needs; a checkpointed block keeps x and memory alone.
  template <class M, class S>
  Tensor3<T> forward_train(Tensor3<T> x, Saved& saved, const M& mask, const S& score,
                           const Options& options) const {
    if (checkpoint_) saved.input = BlockInput<T>{x, {}, SavedDropout(options)};
    Saved all;
    Saved& to = checkpoint_ ? all : saved;
    auto attended = attend(std::move(x), to, mask, score, options);
    return feed_forward_.train(std::move(attended), to.feed_forward, options);
  }
  template <class M, class N, class S>
  Tensor3<T> forward_train(Tensor3<T> x, const View<const T, 3>& source, SavedWithMemory& saved,
                           const M& mask, const N& memory_mask, const S& score,
                           const Options& options) const {
    if (checkpoint_) saved.own.input = BlockInput<T>{x, kept(source), SavedDropout(options)};
    SavedWithMemory all;
    SavedWithMemory& to = checkpoint_ ? all : saved;
    auto attended = attend(std::move(x), source, to, mask, memory_mask, score, options);
    return feed_forward_.train(std::move(attended), to.own.feed_forward, options);
  }

  // dx of dy; adds to the gradients. d_memory is written.
  template <class M, class S>
  Tensor3<T> backward(const Tensor3<T>& dy, const Saved& saved, DecoderParts& gradients,
                      const M& mask, const S& score, const Options& options) const {
    Saved again;
    if (const auto& input = saved.input) {
      const Options same = input->again(options);
      feed_forward_.save(attend(input->x, again, mask, score, same), again.feed_forward, same);
    }
    const Saved& all = saved.input ? again : saved;
    const auto d = feed_forward_.backward(dy, all.feed_forward, gradients.feed_forward_, options);
    return attention_.backward(d, nullptr, all.attention, gradients.attention_, narrowed(mask),
                               score, options);
  }
  template <class M, class N, class S>
  Tensor3<T> backward(const Tensor3<T>& dy, Tensor3<T>& d_memory, const SavedWithMemory& saved,
                      DecoderParts& gradients, const M& mask, const N& memory_mask, const S& score,
                      const Options& options) const {
    require(gradients.has_cross_attention(), "heed::nn::DecoderBlock::backward",
            "the gradients are another module's", [&] { return "dy " + to_string(view_of(dy)); });
    SavedWithMemory again;
    if (const auto& input = saved.own.input) {
      const Options same = input->again(options);
      auto attended =
          attend(input->x, view_of(input->memory), again, mask, memory_mask, score, same);
      feed_forward_.save(std::move(attended), again.own.feed_forward, same);
    }
    const auto& [own, cross] = saved.own.input ? again : saved;
    const auto d_third =
        feed_forward_.backward(dy, own.feed_forward, gradients.feed_forward_, options);
    const auto d_second =
        cross_attention_->backward(d_third, &d_memory, cross, *gradients.cross_attention_,
                                   memory_mask, score::None{}, options);
    return attention_.backward(d_second, nullptr, own.attention, gradients.attention_,
                               narrowed(mask), score, options);
  }

  // Bytes of run, at an aligned address.
  template <class M, class S>
  std::size_t scratch_bytes(Index B, Index L, const M& mask, const S& score,
                            const Options& options) const {
    return own_bytes(B, L, false) + parts_bytes(B, L, mask, score, options);
  }
  template <class M, class N, class S>
  std::size_t scratch_bytes(Index B, Index L, const View<const T, 3>& source, const M& mask,
                            const N& memory_mask, const S& score, const Options& options) const {
    return own_bytes(B, L, true) + parts_bytes(B, L, source, mask, memory_mask, score, options);
  }

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
    return {options.norm, options.eps, options.bias, options.hidden_dropout};
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

  // The tokens that feed-forward is given, keeping what backward needs.
  template <class M, class S>
  Tensor3<T> attend(Tensor3<T> x, Saved& saved, const M& mask, const S& score,
                    const Options& options) const {
    return attention_.train(std::move(x), nullptr, saved.attention, narrowed(mask), score, options);
  }
  template <class M, class N, class S>
  Tensor3<T> attend(Tensor3<T> x, const View<const T, 3>& source, SavedWithMemory& saved,
                    const M& mask, const N& memory_mask, const S& score,
                    const Options& options) const {
    auto first = attend(std::move(x), saved.own, mask, score, options);
    return cross_attention_->train(std::move(first), &source, saved.cross_attention, memory_mask,
                                   score::None{}, cross_options(options));
  }

  // The results of the sub-layers but the last, and room for a norm.
  struct Buffers {
    View<T, 3> first, second, normed;  // [B, L, features] each; not all are used
    std::size_t bytes;

    Buffers(std::byte* begin, Index B, Index L, Index features, bool has_second, bool has_normed) {
      Carver carver(begin);
      first = carve_tokens<T>(carver, B, L, features);
      second = carve_tokens<T>(carver, B, has_second ? L : 0, features);
      normed = carve_tokens<T>(carver, B, has_normed ? L : 0, features);
      bytes = carver.used();
    }
  };
  Buffers buffers(std::byte* begin, Index B, Index L, bool with_memory) const {
    return {begin, B, L, features(), with_memory, place_ == NormPlace::pre};
  }
  std::size_t own_bytes(Index B, Index L, bool with_memory) const {
    return buffers(nullptr, B, L, with_memory).bytes;
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

  AttentionSublayer<T> attention_;
  std::optional<AttentionSublayer<T>> cross_attention_;
  FeedForwardSublayer<T, F> feed_forward_;
  NormPlace place_;
  bool checkpoint_;
  mask::Window causal_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
