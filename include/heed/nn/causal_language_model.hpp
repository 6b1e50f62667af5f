// A causal language model: token embedding, positions, decoder blocks, a norm, and a linear map to
// the logits of the next token. Radford et al., "Language Models are Unsupervised Multitask
// Learners" (GPT-2, 2019), section 2.3.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "heed/kv/cache.hpp"
#include "heed/nn/causal_language_model_parts.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

template <class T, Activation<T> F = Gelu>
class CausalLanguageModel {
 public:
  struct Saved {
    typename Embedding<T>::Saved embedding;
    SavedDropout dropout;
    std::vector<typename DecoderBlock<T, F>::Saved> blocks;
    typename LayerNorm<T>::Saved norm;
    Tensor3<T> normed;  // [B, L, features], what the output layer was given
  };

  // Throws heed::Error where the features do not divide among the heads, for a number out of its
  // range, and for blocks with cross-attention.
  explicit CausalLanguageModel(const CausalLanguageModelOptions& options = {},
                               const F& activation = {})
      : parts_(options, activation) {}

  const std::vector<DecoderBlock<T, F>>& blocks() const { return parts_.blocks; }
  Index features() const { return parts_.features(); }
  Index vocabulary() const { return parts_.vocabulary(); }

  // Logits of the next token: ids [B, L] -> [B, L, vocabulary]. Token i depends on ids 0 … i alone,
  // so padding behind the ids needs no mask. Block n drops with layer_seed(options.seed, n). Throws
  // heed::Error for an id outside the vocabulary or more tokens than positions.
  template <TokenIds Ids>
  Tensor3<T> forward(const Ids& ids, const Options& options = {}) const {
    return forward(ids, mask::None{}, score::None{}, options);
  }

  // The same with a mask and a score for the attention of every block: mask::packed for several
  // texts in a row, score::alibi for positions. The mask narrows the causal one.
  template <TokenIds Ids, class M, class S = score::None>
  Tensor3<T> forward(const Ids& ids, const M& mask, const S& score = {},
                     const Options& options = {}) const {
    auto logits = make_tensor3<T>(view_of(ids).extent[0], view_of(ids).extent[1], vocabulary());
    forward_into(logits, ids, mask, score, options);
    return logits;
  }

  // forward into logits [B, L, vocabulary]. Allocates nothing where options.workspace has
  // workspace_bytes(ids, mask, score, options).
  template <class Out, TokenIds Ids, class M = mask::None, class S = score::None>
  void forward_into(Out&& logits, const Ids& ids, const M& mask = {}, const S& score = {},
                    const Options& options = {}) const {
    const View<T, 3> to = mutable_view_of(logits);
    const auto from = view_of(ids);
    require(to.extent[0] == from.extent[0] && to.extent[1] == from.extent[1] &&
                to.extent[2] == vocabulary(),
            "heed::nn::CausalLanguageModel::forward", "logits are not [B,L,vocabulary]",
            [&] { return "logits " + to_string(to) + ", ids " + to_string(from); });
    parts_.run(to, ids, {}, mask, score, options, [](std::size_t) { return AttendHere{}; });
  }

  // Empty caches of B sequences for forward: kv::Cache<T>, or make_caches<C>(B, options of C), such
  // as kv::PagedCache<T> or kv::Cache<kv::K8V8>. All layers take their pages from one pool: it has
  // room where PageOptions::pages counts those of each layer.
  template <GrowingCache C = kv::Cache<T>, class... CacheOptions>
  LayerCaches<C> make_caches(Index B, const CacheOptions&... options) const {
    return empty_caches<C>(blocks().size(), parts_.cache_extents(B), options...);
  }

  // Logits of more tokens of the sequences that caches hold, and appends them: a prompt, in parts
  // too, then token by token.
  //
  //   ids      [B, L]
  //   returns  [B, L, vocabulary], of these tokens alone
  //
  // Positions go on at caches.position(b). Mask and score see [B, heads, L, length(b) + L], as over
  // any cache. Without dropout a token has the same bits however the calls are cut. Throws
  // heed::Error as forward without caches does, and where they are of another model or have no
  // room; then they have the tokens that they had.
  template <TokenIds Ids, GrowingCache C, class M = mask::None, class S = score::None>
  Tensor3<T> forward(const Ids& ids, LayerCaches<C>& caches, const M& mask = {},
                     const S& score = {}, const Options& options = {}) const {
    auto logits = make_tensor3<T>(view_of(ids).extent[0], view_of(ids).extent[1], vocabulary());
    parts_.run(mutable_view_of(logits), ids, caches, mask, score, options);
    return logits;
  }

  // The same, [B, 1, vocabulary] of the last of these tokens: what a sampler picks the next from.
  // Throws heed::Error also for ids without a token.
  template <TokenIds Ids, GrowingCache C, class M = mask::None, class S = score::None>
  Tensor3<T> next_logits(const Ids& ids, LayerCaches<C>& caches, const M& mask = {},
                         const S& score = {}, const Options& options = {}) const {
    const auto from = view_of(ids);
    require(from.extent[1] > 0, "heed::nn::CausalLanguageModel::next_logits", "ids have no token",
            [&] { return "ids " + to_string(from); });
    auto logits = make_tensor3<T>(from.extent[0], 1, vocabulary());
    parts_.run(mutable_view_of(logits), ids, caches, mask, score, options);
    return logits;
  }

  // {logits, saved}
  template <TokenIds Ids>
  auto forward_train(const Ids& ids, const Options& options = {}) const {
    return forward_train(ids, mask::None{}, score::None{}, options);
  }
  template <TokenIds Ids, class M, class S = score::None>
  auto forward_train(const Ids& ids, const M& mask, const S& score = {},
                     const Options& options = {}) const {
    auto [x, embedding] = parts_.embedding.forward_train(ids);
    Saved saved{std::move(embedding), SavedDropout(options), {}, {}, {}};
    parts_.add_positions(mutable_view_of(x), {}, options);
    for (std::size_t n = 0; n < blocks().size(); ++n) {
      auto block =
          blocks()[n].forward_train(std::move(x), mask, score, Parts::block_options(options, n));
      x = std::move(block.out);
      saved.blocks.push_back(std::move(block.saved));
    }
    auto normed = parts_.norm.forward_train(std::move(x), options);
    saved.norm = std::move(normed.saved);
    saved.normed = std::move(normed.out);
    auto logits = make_tensor3<T>(view_of(ids).extent[0], view_of(ids).extent[1], vocabulary());
    affine_into(mutable_view_of(logits), view_of(saved.normed), parts_.output(), options);
    return OutWithSaved{std::move(logits), std::move(saved)};
  }

  // Adds to the gradients; ids have none. Mask and score are the forward call's. Throws heed::Error
  // where d_logits [B, L, vocabulary] or the gradients are not of the saved call.
  template <Tokens D>
  void backward(const D& d_logits, const Saved& saved, CausalLanguageModel& gradients,
                const Options& options = {}) const {
    backward(d_logits, saved, gradients, mask::None{}, score::None{}, options);
  }
  template <Tokens D, class M, class S = score::None>
  void backward(const D& d_logits, const Saved& saved, CausalLanguageModel& gradients,
                const M& mask, const S& score = {}, const Options& options = {}) const {
    constexpr const char* call = "heed::nn::CausalLanguageModel::backward";
    const auto d = gradient_of(d_logits, vocabulary(), view_of(saved.normed), call);
    require(parts_.matches(gradients.parts_) && saved.blocks.size() == blocks().size(), call,
            "the gradients or saved are another module's",
            [&] { return "d_logits " + to_string(d); });
    auto dx = parts_.norm.backward(output_backward(d, saved, gradients, options), saved.norm,
                                   gradients.parts_.norm, options);
    for (std::size_t n = blocks().size(); n-- > 0;) {
      dx = blocks()[n].backward(dx, saved.blocks[n], gradients.parts_.blocks[n], mask, score,
                                options);
    }
    drop_into(mutable_view_of(dx), parts_.embedding_dropout, DropoutSite::embedding,
              saved.dropout.with(options));
    if (parts_.positions) parts_.positions->backward(dx, {0}, *gradients.parts_.positions);
    parts_.embedding.backward(dx, saved.embedding, gradients.parts_.embedding, options);
  }

  template <TokenIds Ids, class M = mask::None, class S = score::None>
  std::size_t workspace_bytes(const Ids& ids, const M& mask = {}, const S& score = {},
                              const Options& options = {}) const {
    const auto from = view_of(ids);
    const Index B = from.extent[0], L = from.extent[1];
    return Scratch::with_slack(parts_.own_bytes(B, L) +
                               parts_.layer_bytes(B, L, mask, score, options));
  }

  // Names: embedding.weight, positions.table, blocks.0.…, blocks.1.…, norm.…, and output.… unless
  // tied.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    Parts::each_parameter(self.parts_, visit, prefix);
  }

 private:
  using Parts = CausalLanguageModelParts<T, F>;

  Tensor3<T> output_backward(const View<const T, 3>& d, const Saved& saved,
                             CausalLanguageModel& gradients, const Options& options) const {
    if (!parts_.own_output) {
      return parts_.embedding.output_backward(d, saved.normed, gradients.parts_.embedding, options);
    }
    const View<const T, 3> x = view_of(saved.normed);
    auto dx = make_tensor3<T>(x.extent[0], x.extent[1], features());
    parts_.own_output->backward_into(mutable_view_of(dx), d, x, *gradients.parts_.own_output,
                                     options);
    return dx;
  }

  Parts parts_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
