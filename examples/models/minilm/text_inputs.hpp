// A trained layer's queries, keys and values on a text of any length.
#pragma once

#include <string_view>

#include "heed/core/eigen.hpp"
#include "models/minilm/command_line.hpp"
#include "models/sentence_encoder.hpp"

namespace heed::models::minilm {

struct TextInputs {
  Tensor4<float> q, k, v;  // [1, heads, tokens, dim]
};

// The first `line.length` tokens of the text, fewer where it has fewer. The model has too few
// positions for a long text, so it reads pieces of `line.max_tokens`, each between [CLS] and [SEP],
// and the pieces' queries, keys and values are put one after another.
// Throws heed::Error for fewer than 64 tokens and for a layer that is not there.
TextInputs text_inputs(const CommandLine& line, std::string_view text,
                       const SentenceEncoder& encoder, std::size_t layer);

}  // namespace heed::models::minilm
