// A sequence of tokens that a Llama has read.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "heed/core/eigen.hpp"
#include "models/cache_format.hpp"

namespace heed::models {

// Keys and values of its tokens in each layer, in one of several formats.
class LlamaSequence {
 public:
  LlamaSequence(LlamaSequence&& other) noexcept;
  LlamaSequence& operator=(LlamaSequence&& other) noexcept;
  LlamaSequence(const LlamaSequence&) = delete;
  LlamaSequence& operator=(const LlamaSequence&) = delete;
  ~LlamaSequence();

  CacheFormat format() const;
  Index length() const;
  std::size_t bytes() const;            // of keys and values
  std::size_t allocated_bytes() const;  // with room for more tokens
  // A sequence that goes on as this one would, for beams or another answer: each goes its own way.
  // Keys and values are copied, or paged ones shared. It is not looked at. Sequences that share a
  // pool are changed by one thread at a time.
  LlamaSequence fork() const;
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

}  // namespace heed::models
