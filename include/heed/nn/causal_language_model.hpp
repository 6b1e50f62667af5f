// A causal language model: token embedding, positions, decoder blocks, a norm, and a linear map to
// the logits of the next token. Radford et al., "Language Models are Unsupervised Multitask
// Learners" (GPT-2, 2019), section 2.3.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "heed/nn/causal_language_model_options.hpp"
#include "heed/nn/decoder_block.hpp"
#include "heed/nn/embedding.hpp"
#include "heed/nn/learned_positions.hpp"

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
      : embedding_(checked_options(options).vocabulary, options.features,
                   {.deviation = options.deviation, .tied = options.tied}),
        norm_(options.features, {.eps = options.block.eps, .bias = options.block.bias}),
        embedding_dropout_(options.embedding_dropout) {
    if (options.positions > 0) {
      positions_.emplace(options.features, options.positions, options.deviation);
    }
    // Copies of one block share its table of rotary positions.
    blocks_.assign(static_cast<std::size_t>(options.layers),
                   DecoderBlock<T, F>(options.features, options.block, activation));
    if (!options.tied) output_.emplace(options.features, options.vocabulary, options.output_bias);
  }

  const std::vector<DecoderBlock<T, F>>& blocks() const { return blocks_; }
  Index features() const { return embedding_.features(); }
  Index vocabulary() const { return embedding_.vocabulary(); }

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
    run(mutable_view_of(logits), ids, mask, score, options);
    return logits;
  }

  // forward into logits [B, L, vocabulary]. Allocates nothing where options.workspace has
  // workspace_bytes(ids, mask, score, options).
  template <class Out, TokenIds Ids, class M = mask::None, class S = score::None>
  void forward_into(Out&& logits, const Ids& ids, const M& mask = {}, const S& score = {},
                    const Options& options = {}) const {
    run(mutable_view_of(logits), ids, mask, score, options);
  }

  // {logits, saved}
  template <TokenIds Ids>
  auto forward_train(const Ids& ids, const Options& options = {}) const {
    return forward_train(ids, mask::None{}, score::None{}, options);
  }
  template <TokenIds Ids, class M, class S = score::None>
  auto forward_train(const Ids& ids, const M& mask, const S& score = {},
                     const Options& options = {}) const {
    auto [x, embedding] = embedding_.forward_train(ids);
    Saved saved{std::move(embedding), SavedDropout(options), {}, {}, {}};
    add_positions(mutable_view_of(x), options);
    for (std::size_t n = 0; n < blocks_.size(); ++n) {
      auto block = blocks_[n].forward_train(std::move(x), mask, score, block_options(options, n));
      x = std::move(block.out);
      saved.blocks.push_back(std::move(block.saved));
    }
    auto normed = norm_.forward_train(std::move(x), options);
    saved.norm = std::move(normed.saved);
    saved.normed = std::move(normed.out);
    auto logits = make_tensor3<T>(view_of(ids).extent[0], view_of(ids).extent[1], vocabulary());
    affine_into(mutable_view_of(logits), view_of(saved.normed), output(), options);
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
    check_gradients(call, d, saved, gradients);
    auto dx = norm_.backward(output_backward(d, saved, gradients, options), saved.norm,
                             gradients.norm_, options);
    for (std::size_t n = blocks_.size(); n-- > 0;) {
      dx = blocks_[n].backward(dx, saved.blocks[n], gradients.blocks_[n], mask, score, options);
    }
    drop_into(mutable_view_of(dx), embedding_dropout_, DropoutSite::embedding,
              saved.dropout.with(options));
    if (positions_) positions_->backward(dx, {0}, *gradients.positions_);
    embedding_.backward(dx, saved.embedding, gradients.embedding_, options);
  }

  template <TokenIds Ids, class M = mask::None, class S = score::None>
  std::size_t workspace_bytes(const Ids& ids, const M& mask = {}, const S& score = {},
                              const Options& options = {}) const {
    const auto from = view_of(ids);
    const Index B = from.extent[0], L = from.extent[1];
    return Scratch::with_slack(own_bytes(B, L) + parts_bytes(B, L, mask, score, options));
  }

  // Names: embedding.weight, positions.table, blocks.0.…, blocks.1.…, norm.…, and output.… unless
  // tied.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.embedding_, visit, prefix + "embedding.");
    if (self.positions_) nn::each_parameter(*self.positions_, visit, prefix + "positions.");
    for (std::size_t n = 0; n < self.blocks_.size(); ++n) {
      nn::each_parameter(self.blocks_[n], visit, prefix + "blocks." + std::to_string(n) + ".");
    }
    nn::each_parameter(self.norm_, visit, prefix + "norm.");
    if (self.output_) nn::each_parameter(*self.output_, visit, prefix + "output.");
  }

 private:
  Affine<T> output() const { return output_ ? output_->affine() : embedding_.output(); }

  static Options block_options(const Options& options, std::size_t n) {
    return layer_options(options, static_cast<Index>(n));
  }

  std::size_t own_bytes(Index B, Index L) const {
    Carver counter(nullptr);
    carve_tokens<T>(counter, B, L, features());
    return counter.used();
  }
  template <class M, class S>
  std::size_t parts_bytes(Index B, Index L, const M& mask, const S& score,
                          const Options& options) const {
    const Index tokens = checked_product(B, L);
    std::size_t bytes = std::max(AffineScratch<T>(tokens, output(), options).bytes,
                                 norm_.scratch_bytes(tokens, options));
    if (!blocks_.empty()) {
      bytes = std::max(bytes, blocks_[0].scratch_bytes(B, L, mask, score, options));
    }
    return bytes;
  }

  // Positions and dropout of embedded tokens.
  void add_positions(const View<T, 3>& x, const Options& options) const {
    if (positions_) positions_->forward_into(x, x.as_const());
    drop_into(x, embedding_dropout_, DropoutSite::embedding, options);
  }

  template <TokenIds Ids, class M, class S>
  void run(const View<T, 3>& logits, const Ids& ids, const M& mask, const S& score,
           const Options& options) const {
    const auto from = view_of(ids);
    const Index B = from.extent[0], L = from.extent[1];
    require(logits.extent[0] == B && logits.extent[1] == L && logits.extent[2] == vocabulary(),
            "heed::nn::CausalLanguageModel::forward", "logits are not [B,L,vocabulary]",
            [&] { return "logits " + to_string(logits) + ", ids " + to_string(from); });
    const Workspace room(own_bytes(B, L), parts_bytes(B, L, mask, score, options), options);
    Carver carver(room.begin());
    const auto x = carve_tokens<T>(carver, B, L, features());
    embedding_.forward_into(x, ids);
    add_positions(x, options);
    for (std::size_t n = 0; n < blocks_.size(); ++n) {
      blocks_[n].forward_into(x, x.as_const(), mask, score, block_options(room.parts(), n));
    }
    norm_.forward_into(x, x.as_const(), room.parts());
    affine_into(logits, x.as_const(), output(), room.parts());
  }

  void check_gradients(const char* call, const View<const T, 3>& d, const Saved& saved,
                       const CausalLanguageModel& gradients) const {
    const bool same =
        gradients.blocks_.size() == blocks_.size() && saved.blocks.size() == blocks_.size() &&
        gradients.vocabulary() == vocabulary() && gradients.features() == features() &&
        gradients.positions_.has_value() == positions_.has_value() &&
        gradients.output_.has_value() == output_.has_value();
    require(same, call, "the gradients or saved are another module's",
            [&] { return "d_logits " + to_string(d); });
  }

  Tensor3<T> output_backward(const View<const T, 3>& d, const Saved& saved,
                             CausalLanguageModel& gradients, const Options& options) const {
    if (!output_) {
      return embedding_.output_backward(d, saved.normed, gradients.embedding_, options);
    }
    const View<const T, 3> x = view_of(saved.normed);
    auto dx = make_tensor3<T>(x.extent[0], x.extent[1], features());
    output_->backward_into(mutable_view_of(dx), d, x, *gradients.output_, options);
    return dx;
  }

  Embedding<T> embedding_;
  std::optional<LearnedPositions<T>> positions_;
  std::vector<DecoderBlock<T, F>> blocks_;
  LayerNorm<T> norm_;
  std::optional<Linear<T>> output_;  // none where tied
  double embedding_dropout_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
