// Text from a model, token by token: prefill, then one call a token, or several tokens a call where
// a draft is right.
//
// A draft is what stood behind the last tokens when they stood earlier in the text. It is verified
// by one call over all its tokens: each is kept while it is the token that the sampler picks, so
// that the text is the same with and without. Leviathan et al., "Fast Inference from Transformers
// via Speculative Decoding" (2023), with the text itself as the draft model.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "models/llama.hpp"
#include "models/sampler.hpp"

namespace heed::models {

struct GeneratorOptions {
  SamplerOptions sampler = {};
  std::size_t draft = 0;  // tokens that are drafted at most; 0: none
};

struct GeneratorTimes {
  std::size_t prefill_tokens = 0, tokens = 0, calls = 0;
  std::size_t single_calls = 0;  // of one token, without a draft
  double prefill_seconds = 0, seconds = 0, single_seconds = 0;
};

enum class Stop { end_token, max_tokens, full_context, asked };

// The tokens that followed the last earlier occurrence of the last three tokens, or two; at most
// `most` of them.
std::vector<TokenId> draft_tokens(std::span<const TokenId> ids, std::size_t most);

class Generator {
 public:
  Generator(const Llama& model, const GeneratorOptions& options);

  // All tokens so far.
  const std::vector<TokenId>& ids() const { return ids_; }
  const LlamaSequence& sequence() const { return sequence_; }
  LlamaSequence& sequence() { return sequence_; }
  const GeneratorTimes& times() const { return times_; }
  std::size_t room() const;  // tokens that the context has left

  // Reads tokens in pieces; `progress` is called with the number that is done, and ends it by
  // false: then none of the tokens stays. Throws heed::Error where they do not fit the context.
  bool read(std::span<const TokenId> ids, const std::function<bool(std::size_t)>& progress);

  // Generates up to `most` tokens and calls `on_token` for each but `end`, until it returns false.
  // A next call goes on from there. Throws heed::Error where there is no token yet.
  Stop generate(TokenId end, std::size_t most, const std::function<bool(TokenId)>& on_token);

 private:
  struct Run;

  std::span<const float> logits(Index row) const;
  std::span<const float> last_logits();
  void call(std::span<const TokenId> draft);

  const Llama& model_;
  GeneratorOptions options_;
  Sampler sampler_;
  LlamaSequence sequence_;
  std::vector<TokenId> ids_;  // those behind the sequence's length are not read yet
  Tensor2<float> logits_;     // of the tokens of the last call
  Index first_row_ = 0;       // the tokens up to the one that row 0 of the logits belongs to
  GeneratorTimes times_;
};

}  // namespace heed::models
