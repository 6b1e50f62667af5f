// A decoder of the Llama family: RMS norm, rotary positions, grouped attention over a cache,
// SwiGLU. Touvron et al., "LLaMA: Open and Efficient Foundation Language Models" (2023),
// section 2.2.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "heed/core/eigen.hpp"
#include "models/gguf.hpp"
#include "models/llama_config.hpp"
#include "models/llama_sequence.hpp"
#include "models/model_weight.hpp"
#include "models/vocabulary.hpp"
#include "models/worker_pool.hpp"

namespace heed::models {

struct LlamaOptions {
  WeightFormat weights = WeightFormat::file;
  int threads = 0;  // 0: as many as there are
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

  // A sequence without tokens, whose keys and values will have a format.
  LlamaSequence start(CacheFormat format = CacheFormat::float32) const;

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
  // so that a text longer than the context goes on; each time they are rounded to the sequence's
  // format again. Throws heed::Error where there are fewer, or where a key that moves is beyond
  // what the format can hold; then, as where memory ends, the sequence is as before. Time O(the
  // tokens behind).
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
