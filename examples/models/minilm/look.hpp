// The attention of one layer's heads in a sentence: minilm heads and minilm highlight show it.
#pragma once

#include <string>
#include <vector>

#include "heed/core/view.hpp"
#include "models/minilm/command_line.hpp"
#include "models/sentence_encoder.hpp"

namespace heed::models::minilm {

// A sentence and the attention of one layer on it.
struct Look {
  std::vector<std::string> tokens;  // [L], [CLS] first and [SEP] last
  std::size_t layer = 0;            // the first is 1; 0: the word vectors, as one head
  std::size_t heads = 0;
  bool truncated = false;      // the sentence had more tokens
  std::vector<float> weights;  // [heads, L, L]

  std::size_t length() const { return tokens.size(); }
  // "layer 3 of 6", "word vectors alone"
  std::string title(std::size_t layers) const;
  std::vector<std::string> words() const { return {tokens.begin() + 1, tokens.end() - 1}; }
  View<const float, 2> head(std::size_t h) const {
    const auto L = static_cast<Index>(length());
    return view(weights.data() + h * length() * length(), {L, L});
  }
};

// The line's first operand in layer `layer`. Throws heed::Error for a layer that is not there.
Look look_at(const CommandLine& line, const SentenceEncoder& encoder, std::size_t layer);

// Says on stderr that the sentence is cut, where it is.
void warn_if_cut(const Look& look);

}  // namespace heed::models::minilm
