// The weights of a Llama, from its GGUF file.
#pragma once

#include <memory>
#include <vector>

#include "heed/nn/rms_norm.hpp"
#include "models/llama.hpp"
#include "models/model_weight.hpp"

namespace heed::models {

struct LlamaLayer {
  nn::RmsNorm<float> attention_norm, feed_forward_norm;
  ModelWeight qkv;      // [q_features + 2 · kv_features, features]
  ModelWeight output;   // [features, q_features]
  ModelWeight gate_up;  // [2 · hidden, features]
  ModelWeight down;     // [features, hidden]

  LlamaLayer(const Gguf& file, const LlamaConfig& config, Index n, WeightFormat format,
             const nn::Options& options);
};

struct Llama::Weights {
  ModelWeight embedding;  // [vocabulary, features]
  std::vector<LlamaLayer> layers;
  nn::RmsNorm<float> norm;
  std::unique_ptr<ModelWeight> own_output;  // [vocabulary, features]; null: the embedding

  // Throws heed::Error as Llama's constructor does.
  Weights(const Gguf& file, const LlamaConfig& config, WeightFormat format,
          const nn::Options& options);

  const ModelWeight& output() const { return own_output ? *own_output : embedding; }
};

}  // namespace heed::models
