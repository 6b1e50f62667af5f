// The layers of a causal language model and how they compute on views: what CausalLanguageModel,
// the user's page, calls.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "heed/nn/branches.hpp"
#include "heed/nn/causal_language_model_options.hpp"
#include "heed/nn/decoder_block.hpp"
#include "heed/nn/embedding.hpp"
#include "heed/nn/layer_caches.hpp"
#include "heed/nn/learned_positions.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

template <class T, Activation<T> F>
struct CausalLanguageModelParts {
  Embedding<T> embedding;
  std::optional<LearnedPositions<T>> positions;
  std::vector<DecoderBlock<T, F>> blocks;
  LayerNorm<T> norm;
  std::optional<Linear<T>> own_output;  // none where tied
  double embedding_dropout;

  CausalLanguageModelParts(const CausalLanguageModelOptions& options, const F& activation)
      : embedding(checked_options(options).vocabulary, options.features,
                  {.deviation = options.deviation, .tied = options.tied}),
        norm(options.features, {.eps = options.block.eps, .bias = options.block.bias}),
        embedding_dropout(options.embedding_dropout) {
    if (options.positions > 0) {
      positions.emplace(options.features, options.positions, options.deviation);
    }
    // Copies of one block share its table of rotary positions.
    blocks.assign(static_cast<std::size_t>(options.layers),
                  DecoderBlock<T, F>(options.features, options.block, activation));
    if (!options.tied)
      own_output.emplace(options.features, options.vocabulary, options.output_bias);
  }

  Index features() const { return embedding.features(); }
  Index vocabulary() const { return embedding.vocabulary(); }
  Affine<T> output() const { return own_output ? own_output->affine() : embedding.output(); }

  // Of a layer's cache. Throws heed::Error where there is no layer.
  kv::Extents cache_extents(Index B) const {
    if (blocks.empty()) throw Error("heed::nn::CausalLanguageModel: it has no layer to cache");
    const MultiHeadAttentionOptions& heads = blocks[0].attention().options();
    return {B, heads.kv_heads, heads.head_dim, heads.head_dim};
  }

  // True where `other` has the same layers, as the gradients of this have.
  bool matches(const CausalLanguageModelParts& other) const {
    return other.blocks.size() == blocks.size() && other.vocabulary() == vocabulary() &&
           other.features() == features() && other.positions.has_value() == positions.has_value() &&
           other.own_output.has_value() == own_output.has_value();
  }

  static Options block_options(const Options& options, std::size_t n) {
    return layer_options(options, static_cast<Index>(n));
  }

  // Positions and dropout of embedded tokens. `first` is token 0's position, [B]; or nothing: 0.
  void add_positions(const View<T, 3>& x, std::span<const Index> first,
                     const Options& options) const {
    constexpr Index begin[] = {0};
    if (positions) positions->forward_into(x, x.as_const(), first.empty() ? begin : first);
    drop_into(x, embedding_dropout, DropoutSite::embedding, options);
  }

  // Bytes of run, of its own tensor and of the layers, at an aligned address.
  std::size_t own_bytes(Index B, Index L) const {
    Carver counter(nullptr);
    carve_tokens<T>(counter, B, L, features());
    return counter.used();
  }
  template <class M, class S>
  std::size_t layer_bytes(Index B, Index L, const M& mask, const S& score,
                          const Options& options) const {
    const Index tokens = checked_product(B, L);
    std::size_t bytes = std::max(AffineScratch<T>(tokens, output(), options).bytes,
                                 norm.scratch_bytes(tokens, options));
    if (!blocks.empty()) {
      bytes = std::max(bytes, blocks[0].scratch_bytes(B, L, mask, score, options));
    }
    return bytes;
  }

  // Logits [B, n, vocabulary] of the last n tokens.
  //
  //   first   positions of token 0, as add_positions has them
  //   attend  attend(n) is block n's way to attend
  template <TokenIds Ids, class M, class S, class AttendOf>
  void run(const View<T, 3>& logits, const Ids& ids, std::span<const Index> first, const M& mask,
           const S& score, const Options& options, const AttendOf& attend) const {
    const auto from = view_of(ids);
    const Index B = from.extent[0], L = from.extent[1], last = logits.extent[1];
    HEED_ASSERT(logits.extent[0] == B && last <= L && logits.extent[2] == vocabulary());
    const auto bytes = layer_bytes(B, L, counted<mask::None>(attend(0), mask),
                                   counted<score::None>(attend(0), score), options);
    const Workspace room(own_bytes(B, L), bytes, options);
    Carver carver(room.begin());
    auto x = carve_tokens<T>(carver, B, L, features());
    embedding.forward_into(x, ids);
    add_positions(x, first, options);
    for (std::size_t n = 0; n < blocks.size(); ++n) {
      const Options how = block_options(room.parts(), n);
      blocks[n].forward_into(x, x.as_const(), mask, score, how, attend(n));
    }
    x.data += (L - last) * x.stride[1];
    x.extent[1] = last;
    norm.forward_into(x, x.as_const(), room.parts());
    affine_into(logits, x.as_const(), output(), room.parts());
  }

  // The same behind the tokens of caches, to which it appends.
  template <TokenIds Ids, class C, class M, class S>
  void run(const View<T, 3>& logits, const Ids& ids, LayerCaches<C>& caches, const M& mask,
           const S& score, const Options& options) const {
    check_caches("heed::nn::CausalLanguageModel::forward", caches, blocks.size(),
                 cache_extents(view_of(ids).extent[0]));
    if (positions) refuse_branches("heed::nn::CausalLanguageModel::forward", mask);
    const CachePositions at(caches);
    forward_behind(caches, [&] {
      run(logits, ids, at.next, mask, score, options,
          [&](std::size_t n) { return caches.attend(static_cast<Index>(n), at.erased); });
    });
  }

  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.embedding, visit, prefix + "embedding.");
    if (self.positions) nn::each_parameter(*self.positions, visit, prefix + "positions.");
    for (std::size_t n = 0; n < self.blocks.size(); ++n) {
      nn::each_parameter(self.blocks[n], visit, prefix + "blocks." + std::to_string(n) + ".");
    }
    nn::each_parameter(self.norm, visit, prefix + "norm.");
    if (self.own_output) nn::each_parameter(*self.own_output, visit, prefix + "output.");
  }
};

}  // namespace HEED_ABI
}  // namespace heed::nn
