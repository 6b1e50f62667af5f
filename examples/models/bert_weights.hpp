// The weights of a BERT encoder: embeddings, and a block for each layer.
#pragma once

#include <span>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/files/safetensors.hpp"
#include "heed/nn/encoder_block.hpp"
#include "heed/nn/layer_norm.hpp"
#include "models/bert_config.hpp"
#include "models/vocabulary.hpp"

namespace heed::models {

struct BertWeights {
  std::vector<float> word;        // [vocabulary, hidden]
  std::vector<float> position;    // [positions, hidden]
  std::vector<float> token_type;  // [token_types, hidden]
  nn::LayerNorm<float> norm;
  std::vector<nn::EncoderBlock<float>> blocks;

  // Throws heed::Error as Bert does.
  BertWeights(const BertConfig& config, const files::Safetensors& file);

  // The vector of a word, [hidden].
  std::span<const float> word_vector(TokenId id) const;

  // The input of the first block, [B, L, hidden].
  Tensor3<float> embed(std::span<const TokenId> ids, Index B, Index L, int threads) const;
};

}  // namespace heed::models
