// Options of a causal language model.
#pragma once

#include <string>

#include "heed/nn/decoder_options.hpp"
#include "heed/nn/dropout.hpp"

namespace heed::nn {

// The defaults are GPT-2's smallest, without dropout.
struct CausalLanguageModelOptions {
  Index vocabulary = 50257;
  Index features = 768;
  Index layers = 12;
  Index positions = 1024;  // rows of the learned table; 0: none
  DecoderBlockOptions block = {.attention = {.heads = 12}, .norm = NormPlace::pre};
  bool tied = true;              // the output layer's weight is the embedding's
  Bias output_bias = Bias::no;   // of an output layer that is not tied
  double embedding_dropout = 0;  // in Mode::train, of embedding and position together
  double deviation = 0.02;       // embedding and positions begin as N(0, deviation²)
};

inline namespace HEED_ABI {

// The options. Throws heed::Error for a number out of its range, and for blocks with
// cross-attention.
inline const CausalLanguageModelOptions& checked_options(
    const CausalLanguageModelOptions& options) {
  constexpr const char* name = "heed::nn::CausalLanguageModel";
  const auto at_least = [&](Index least, const char* what, Index number) {
    if (number >= least) return;
    throw Error(std::string(name) + ": " + what + " " + std::to_string(number) + " is below " +
                std::to_string(least));
  };
  at_least(1, "vocabulary", options.vocabulary);
  at_least(1, "features", options.features);
  at_least(0, "layers", options.layers);
  at_least(0, "positions", options.positions);
  at_least(0, "block.hidden", options.block.hidden);
  check_dropout(name, options.embedding_dropout);
  if (!options.block.cross_attention) return options;
  throw Error(std::string(name) + ": its blocks have no memory for cross_attention");
}

}  // namespace HEED_ABI
}  // namespace heed::nn
