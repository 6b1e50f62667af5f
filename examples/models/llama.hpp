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
#include "models/worker_pool.hpp"

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
  // Of the tokens from `first` on, keeps those at the places `kept`, counted from there, in
  // ascending order: a path of a drafted tree. Positions stay. Throws heed::Error for other places.
  void keep(Index first, std::span<const Index> kept);

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
  //   parents  [m], m <= n         the last m tokens are a drafted tree (mask::tree): each sees its
  //                                ancestors and the text before the tree, and stands behind its
  //                                parent; −1 is the last token before the tree
  //   returns  [rows, vocabulary]  logits of the last `rows` of them
  //
  // Throws heed::Error for an id outside the vocabulary, a parent that does not come before its
  // child, more tokens than the context has, or logits that are not finite; then, as where memory
  // ends, the sequence is as before. Time O(n · (parameters + length · features)).
  Tensor2<float> forward(std::span<const TokenId> ids, LlamaSequence& sequence, Index rows = 1,
                         std::span<const int> parents = {}) const;

  // Forgets tokens [first, first + count) of a sequence. Those behind move up, their positions too,
  // so that a text longer than the context goes on. Throws heed::Error where there are fewer; then,
  // as where memory ends, the sequence is as before. Time O(the tokens behind).
  void forget(LlamaSequence& sequence, Index first, Index count) const;

 private:
  struct Weights;

  void check(std::span<const TokenId> ids, Index length, Index rows,
             std::span<const int> parents) const;
  Tensor2<float> read(std::span<const TokenId> ids, LlamaSequence& sequence, Index rows,
                      std::span<const int> parents) const;
  void attend(Index layer, LlamaSequence& sequence, Index n, std::span<const int> parents) const;
  void feed_forward(Index layer, LlamaSequence& sequence, Index n) const;

  LlamaConfig config_;
  std::unique_ptr<WorkerPool> pool_;
  std::unique_ptr<const Weights> weights_;
};

}  // namespace heed::models
