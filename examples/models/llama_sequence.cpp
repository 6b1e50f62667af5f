#include "models/llama_sequence.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "heed/core/error.hpp"
#include "models/llama_state.hpp"

namespace heed::models {

LlamaSequence::LlamaSequence(std::unique_ptr<State> state) : state_(std::move(state)) {}
LlamaSequence::LlamaSequence(LlamaSequence&& other) noexcept = default;
LlamaSequence& LlamaSequence::operator=(LlamaSequence&& other) noexcept = default;
LlamaSequence::~LlamaSequence() = default;

CacheFormat LlamaSequence::format() const { return state_->format; }

Index LlamaSequence::length() const { return state_->caches->length(0); }

std::size_t LlamaSequence::bytes() const {
  return state_->caches->token_bytes() * static_cast<std::size_t>(length());
}

std::size_t LlamaSequence::allocated_bytes() const { return state_->caches->allocated_bytes(); }

LlamaSequence LlamaSequence::fork() const {
  return LlamaSequence(std::make_unique<State>(state_->format, state_->caches->fork()));
}

void LlamaSequence::truncate(Index length) { state_->caches->truncate(length); }

void LlamaSequence::keep(Index first, std::span<const Index> kept) {
  const bool ascending = std::ranges::is_sorted(kept, std::ranges::less_equal());
  if (first < 0 || first > length() || !ascending ||
      (!kept.empty() && (kept.front() < 0 || kept.back() >= length() - first))) {
    throw Error("heed::models::LlamaSequence: " + std::to_string(kept.size()) +
                " tokens to keep are not among those behind " + std::to_string(first));
  }
  state_->caches->keep(first, kept);
}

}  // namespace heed::models
