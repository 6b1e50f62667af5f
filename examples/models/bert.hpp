// The BERT encoder: token ids to hidden states, with trained weights, on heed's own modules.
//
//   x = layer_norm(word[id] + position[i] + token_type[0])
//   x = layer_norm(x + attention(x)); x = layer_norm(x + feed_forward(x))     layer by layer
//
// Devlin et al., BERT (2018); the block is Vaswani et al. (2017), section 3.1, norms after.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/files/safetensors.hpp"
#include "models/bert_config.hpp"
#include "models/vocabulary.hpp"

namespace heed::models {

// Where the attention of a forward pass runs; all else runs on the CPU.
enum class Device { cpu, cuda };

// Queries, keys and values of a layer's heads on one sentence, row-major.
struct HeadInputs {
  std::size_t heads = 0, length = 0, dim = 0;
  std::vector<float> q, k, v;  // [heads, length, dim] each
};

struct BertWeights;

class Bert {
 public:
  // Reads the weights, F32, BF16 or F16. Throws heed::Error for a tensor that is missing, has
  // another shape than the configuration says, or holds a NaN or an infinity, and for a file with
  // more layers than the configuration has.
  Bert(const BertConfig& config, const files::Safetensors& file);
  Bert(Bert&& other) noexcept;
  Bert(const Bert&) = delete;
  Bert& operator=(const Bert&) = delete;
  Bert& operator=(Bert&&) = delete;
  ~Bert();

  // The hidden states after the first `layers` layers (0: the embeddings), row-major.
  //
  //   ids      [B, L]      a sentence's row is padded behind its length with any id
  //   lengths  [B]         1 … L
  //   result   [B, L, D]   rows behind a sentence's length mean nothing
  //
  // Throws heed::Error for L above the model's positions or an id outside the vocabulary, where a
  // number leaves the range of float, and where attention is to run on a GPU and cannot.
  std::vector<float> forward(std::span<const TokenId> ids, std::span<const int> lengths,
                             std::size_t layers, int threads = 0,
                             Device device = Device::cpu) const;

  // The attention weights of layer `layer` (0 … layers − 1) on one sentence [L]: [heads, L, L],
  // row i the weights of query token i.
  std::vector<float> attention_weights(std::span<const TokenId> ids, std::size_t layer) const;

  // The attention of the word vectors alone on one sentence [L]: [L, L], softmax(w · wᵀ / √D) with
  // w [L, D] as the file has them, without positions, norm or projections.
  std::vector<float> word_attention(std::span<const TokenId> ids) const;

  // The queries, keys and values of layer `layer` (0 … layers − 1) on one sentence [L].
  HeadInputs head_inputs(std::span<const TokenId> ids, std::size_t layer) const;

 private:
  void check(std::span<const TokenId> ids, std::span<const int> lengths) const;
  // The input of layer `layer` for one sentence, [1, L, D]. Throws heed::Error as forward does.
  Tensor3<float> below(std::span<const TokenId> ids, std::size_t layer) const;

  BertConfig config_;
  std::unique_ptr<const BertWeights> weights_;
};

}  // namespace heed::models
