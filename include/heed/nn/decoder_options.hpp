// Options of a decoder block.
#pragma once

#include <optional>

#include "heed/nn/multi_head_options.hpp"
#include "heed/nn/residual.hpp"

namespace heed::nn {

// Every dropout is of Mode::train; presets.hpp has torch's and GPT-2's.
struct DecoderBlockOptions {
  MultiHeadAttentionOptions attention = {};
  std::optional<MultiHeadAttentionOptions> cross_attention = {};  // to memory [B, Lk, …]; or none
  Index hidden = 0;  // of the feed-forward part; 0: 4 · features
  NormPlace norm = NormPlace::post;
  double eps = 1e-5;                          // of every norm
  Bias bias = Bias::yes;                      // no: the whole block, attention included, has none
  double dropout = 0;                         // of the feed-forward part, where FeedForward drops
  std::optional<double> hidden_dropout = {};  // of its hidden features, where it is another
  double attention_output_dropout = 0;  // of both attentions' outputs, before the residual is added
  bool checkpoint = false;  // training keeps x and memory alone; backward computes the block again
  bool causal = true;       // a token sees none behind it; the caller's mask narrows that further
};

}  // namespace heed::nn
