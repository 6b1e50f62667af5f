// Text from a model, token by token: prefill, then one call a token, or several tokens a call where
// a draft is right.
//
// Drafts are what stood behind the last tokens where they stood earlier in the text: a tree, since
// they went on in several ways. It is verified by one call over all its tokens: each is kept while
// it is the token that the sampler picks, so that the text is the same with and without. Leviathan
// et al., "Fast Inference from Transformers via Speculative Decoding" (2023), with the text itself
// as the draft model; Miao et al., "SpecInfer" (2024), for the tree.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "models/draft_tree.hpp"
#include "models/llama.hpp"
#include "models/sampler.hpp"

namespace heed::models {

struct GeneratorOptions {
  SamplerOptions sampler = {};
  std::size_t draft = 0;  // tokens that are drafted at most; 0: none
  // Tokens that the model sees besides the first `kept`; a quarter of them is forgotten where more
  // come. 0: as many as the context has, where a text ends.
  std::size_t window = 0;
  CacheFormat cache = CacheFormat::float32;  // of keys and values
  static constexpr std::size_t kept = 4;     // they take the weight that heads have no use for
};

struct GeneratorTimes {
  std::size_t prefill_tokens = 0, tokens = 0, calls = 0;
  std::size_t single_calls = 0;  // of one token, without a draft
  double prefill_seconds = 0, seconds = 0, single_seconds = 0;
};

enum class Stop { end_token, max_tokens, full_context, asked };

class Generator {
 public:
  // Throws heed::Error for a window that is below 32 tokens or does not fit the model's context.
  Generator(const Llama& model, const GeneratorOptions& options);

  // All tokens so far.
  const std::vector<TokenId>& ids() const { return ids_; }
  const LlamaSequence& sequence() const { return sequence_; }
  LlamaSequence& sequence() { return sequence_; }
  const GeneratorTimes& times() const { return times_; }
  std::size_t room() const;  // tokens that the context has left, or that a window has
  std::size_t forgotten() const { return forgotten_; }  // tokens that a window slid over

  // Reads tokens in pieces; `progress` is called with the number that is done, and ends it by
  // false: then none of the tokens stays, and what a window forgot for them is gone. Throws
  // heed::Error where they do not fit the context.
  bool read(std::span<const TokenId> ids, const std::function<bool(std::size_t)>& progress);

  // Generates up to `most` tokens and calls `on_token` for each but `end`, until it returns false.
  // A next call goes on from there. Throws heed::Error where there is no token yet.
  Stop generate(TokenId end, std::size_t most, const std::function<bool(TokenId)>& on_token);

 private:
  struct Run;

  std::size_t read_tokens() const;  // of ids()
  std::span<const float> logits(Index row) const;
  std::span<const float> last_logits();
  void truncate(std::size_t tokens);
  void make_room(std::size_t tokens);
  std::size_t draft_room();
  void call(const DraftTree& draft);
  TokenId verify(const DraftTree& draft, Run& run);

  const Llama& model_;
  GeneratorOptions options_;
  Sampler sampler_;
  LlamaSequence sequence_;
  std::vector<TokenId> ids_;   // the first read_tokens() of them are read
  std::size_t forgotten_ = 0;  // of those behind the first `kept`
  Tensor2<float> logits_;      // of tokens of the last call
  std::size_t first_row_ =
      0;                     // the tokens up to the one that row rows_[0] of the logits belongs to
  std::vector<Index> rows_;  // of that token and those behind it
  GeneratorTimes times_;
};

}  // namespace heed::models
