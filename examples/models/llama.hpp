// A decoder of the Llama family: RMS norm, rotary positions, grouped attention over a cache,
// SwiGLU. Touvron et al., "LLaMA: Open and Efficient Foundation Language Models" (2023),
// section 2.2.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "heed/core/eigen.hpp"
#include "models/gguf.hpp"
#include "models/llama_config.hpp"
#include "models/model_weight.hpp"
#include "models/vocabulary.hpp"

namespace heed::models {

struct LlamaOptions {
  WeightFormat weights = WeightFormat::codes;
  int threads = 0;  // 0: as many as there are
};

// A sequence of tokens that a model has read: their keys and values in each layer.
class LlamaSequence {
 public:
  LlamaSequence(LlamaSequence&& other) noexcept;
  LlamaSequence& operator=(LlamaSequence&& other) noexcept;
  LlamaSequence(const LlamaSequence&) = delete;
  LlamaSequence& operator=(const LlamaSequence&) = delete;
  ~LlamaSequence();

  Index length() const;
  std::size_t bytes() const;  // of keys and values
  // Keeps the first `length` tokens. Throws heed::Error where there are fewer.
  void truncate(Index length);

  // Called in each layer of `forward` with what its last token attends to, [heads, length()].
  std::function<void(Index layer, const Tensor2<float>& weights)> look = {};

 private:
  friend class Llama;
  struct State;
  explicit LlamaSequence(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class Llama {
 public:
  // Throws heed::Error, one line with the path, where a tensor is missing, of another shape, not
  // finite, or not part of such a model.
  explicit Llama(const Gguf& file, const LlamaOptions& options = {});
  Llama(Llama&& other) noexcept;
  Llama(const Llama&) = delete;
  Llama& operator=(const Llama&) = delete;
  Llama& operator=(Llama&&) = delete;
  ~Llama();

  const LlamaConfig& config() const { return config_; }
  std::size_t weight_bytes() const;  // in memory
  std::size_t token_bytes() const;   // of weights that are read for one token
  Index parameters() const;

  // A sequence without tokens.
  LlamaSequence start() const;

  // Reads more tokens into a sequence.
  //
  //   ids      [n]                 n > 0
  //   returns  [rows, vocabulary]  logits of the last `rows` of them
  //
  // Throws heed::Error for an id outside the vocabulary, more tokens than the context has, or
  // logits that are not finite; then, as where memory ends, the sequence is as before. Time O(n ·
  // (parameters + length · features)).
  Tensor2<float> forward(std::span<const TokenId> ids, LlamaSequence& sequence,
                         Index rows = 1) const;

 private:
  struct Weights;

  void check(std::span<const TokenId> ids, Index length, Index rows) const;
  Tensor2<float> read(std::span<const TokenId> ids, LlamaSequence& sequence, Index rows) const;
  void attend(Index layer, LlamaSequence& sequence, Index n) const;
  void feed_forward(Index layer, LlamaSequence& sequence, Index n) const;

  LlamaConfig config_;
  int threads_;
  std::unique_ptr<const Weights> weights_;
};

}  // namespace heed::models
