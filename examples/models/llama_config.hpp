// The sizes of a Llama model, from the values of its GGUF file.
#pragma once

#include "heed/core/types.hpp"
#include "models/gguf.hpp"

namespace heed::models {

struct LlamaConfig {
  Index vocabulary = 0;
  Index context = 0;  // tokens that the model was trained to see
  Index layers = 0;
  Index features = 0;  // of a token
  Index hidden = 0;    // features inside a feed-forward
  Index heads = 0, kv_heads = 0, head_dim = 0;
  Index rope_dim = 0;  // features of a head that rotary position turns
  double rope_base = 0;
  double rms_epsilon = 0;

  Index q_features() const { return heads * head_dim; }
  Index kv_features() const { return kv_heads * head_dim; }
};

// Throws heed::Error, one line with the path, where a value is missing or asks for what the decoder
// does not do: another architecture, experts, or scaled positions.
LlamaConfig llama_config(const Gguf& file);

}  // namespace heed::models
