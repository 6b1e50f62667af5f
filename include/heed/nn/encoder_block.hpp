// One layer of a transformer encoder: attention and feed-forward, each with a residual and a norm.
// Vaswani et al. (2017), section 3.1.
#pragma once

#include <string>

#include "heed/nn/sublayers.hpp"

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
  bool checkpoint = false;              // training keeps x alone; backward computes the block again
};

inline namespace HEED_ABI {

template <class T, Activation<T> F = Gelu>
class EncoderBlock {
 public:
  struct Saved {
    typename AttentionSublayer<T>::Saved attention;
    typename FeedForwardSublayer<T, F>::Saved feed_forward;
    std::optional<BlockInput<T>> input = {};  // of a checkpointed call, which has nothing else
  };

  // Throws heed::Error where the features do not divide among the heads.
  explicit EncoderBlock(Index features, const EncoderBlockOptions& options = {},
                        const F& activation = {})
      : attention_("heed::nn::EncoderBlock", features, options.attention, sublayer(options),
                   options.attention_output_dropout),
        feed_forward_(features, options.hidden, sublayer(options), options.dropout, activation),
        place_(options.norm),
        checkpoint_(options.checkpoint) {}

  const MultiHeadAttention<T>& attention() const { return attention_.attention(); }
  Index features() const { return attention_.features(); }

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

  // {out, saved}; memory O(L · (features + hidden)), of a checkpointed block O(L · features). An x
  // that is moved is kept without a copy.
  template <Tokens X, class M = mask::None, class S = score::None>
  auto forward_train(const X& x, const M& mask = {}, const S& score = {},
                     const Options& options = {}) const {
    auto trained = forward_train(kept(tokens_of(x, features(), train_name)), mask, score, options);
    return OutWithSaved{of_kind(x, std::move(trained.out)), std::move(trained.saved)};
  }
  template <class M = mask::None, class S = score::None>
  OutWithSaved<Tensor3<T>, Saved> forward_train(Tensor3<T>&& x, const M& mask = {},
                                                const S& score = {},
                                                const Options& options = {}) const {
    tokens_of(x, features(), train_name);
    Saved saved;
    if (checkpoint_) saved.input = BlockInput<T>{x, {}, SavedDropout(options)};
    Saved all;
    Saved& to = checkpoint_ ? all : saved;
    auto middle = attention_.train(std::move(x), nullptr, to.attention, mask, score, options);
    auto y = feed_forward_.train(std::move(middle), to.feed_forward, options);
    return {std::move(y), std::move(saved)};
  }

  // dx, of dy's kind; adds to the gradients. Mask and score are the forward call's. Throws
  // heed::Error where dy or the gradients are not of the saved call.
  template <Tokens D, class M = mask::None, class S = score::None>
  auto backward(const D& dy, const Saved& saved, EncoderBlock& gradients, const M& mask = {},
                const S& score = {}, const Options& options = {}) const {
    Saved again;
    if (saved.input) {
      const Options same = saved.input->again(options);
      auto middle = attention_.train(saved.input->x, nullptr, again.attention, mask, score, same);
      feed_forward_.save(std::move(middle), again.feed_forward, same);
    }
    const Saved& all = saved.input ? again : saved;
    const auto d = tokens_of(dy, features(), "heed::nn::EncoderBlock::backward", "dy");
    const auto d_middle = feed_forward_.backward(packed_tokens(dy, d), all.feed_forward,
                                                 gradients.feed_forward_, options);
    return of_kind(dy, attention_.backward(d_middle, nullptr, all.attention, gradients.attention_,
                                           mask, score, options));
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
    self.attention_.each_parameter(self.attention_, visit, prefix + "attention.",
                                   prefix + "norm1.");
    self.feed_forward_.each_parameter(self.feed_forward_, visit, prefix + "feed_forward.",
                                      prefix + "norm2.");
  }

 private:
  static constexpr const char* train_name = "heed::nn::EncoderBlock::forward_train";

  static SublayerOptions sublayer(const EncoderBlockOptions& options) {
    return {options.norm, options.eps, options.bias};
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
    return std::max(attention_.scratch_bytes(B, L, L, mask, score, options),
                    feed_forward_.scratch_bytes(checked_product(B, L), options));
  }

  // Nothing is read from x once out is written.
  template <class M, class S, class Attend>
  void run(const View<T, 3>& out, const View<const T, 3>& x, const M& mask, const S& score,
           const Options& options, const Attend& attend) const {
    check_not_tensors<M, S>();
    const Index B = x.extent[0], L = x.extent[1];
    const Workspace room(own_bytes(B, L), parts_bytes(B, L, mask, score, options), options);
    Carver carver(room.begin());
    const auto middle = carve_tokens<T>(carver, B, L, features());
    View<T, 3> normed{};
    if (place_ == NormPlace::pre) normed = carve_tokens<T>(carver, B, L, features());
    attention_.run(middle, x, nullptr, normed, mask, score, room.parts(), attend);
    feed_forward_.run(out, middle.as_const(), normed, room.parts());
  }

  AttentionSublayer<T> attention_;
  FeedForwardSublayer<T, F> feed_forward_;
  NormPlace place_;
  bool checkpoint_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
