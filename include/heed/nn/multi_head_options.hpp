// Options of multi-head attention.
#pragma once

#include <optional>
#include <string>

#include "heed/core/types.hpp"
#include "heed/nn/dropout.hpp"
#include "heed/nn/linear.hpp"
#include "heed/position/rope.hpp"

namespace heed::nn {

// Storage and names of the three input weights. Results have the same bits.
enum class Projection {
  separate,  // query.weight, key.weight, value.weight
  fused      // qkv.weight: the rows of query, then key, then value
};

// Rotary position inside a module. The last query stands at the last key, as under mask::causal().
struct RotaryOptions {
  Index positions = 2048;  // of the table of cosines and sines, one for all copies of a module
  double base = 10'000;
  Index dim = 0;  // features of a head that turn; 0: all
  position::RopePairs pairs = position::RopePairs::half_split;
  position::RopeScaling scaling = {};
};

// RMS norm of queries and keys with gains of their own, after the projection and before the
// rotation. Henry et al., "Query-Key Normalization for Transformers" (2020).
enum class QkNorm {
  none,
  per_head,  // over each head's features, gains [head_dim]: Qwen3, Gemma 3
  all_heads  // over those of all heads, gains [heads · head_dim]: OLMo 2
};

// The result of attention times sigmoid(W query), before the output projection. Qiu et al., "Gated
// Attention for Large Language Models" (2025), equation 5 at position G1.
enum class OutputGate {
  none,
  per_feature,  // W [heads · head_dim, features]: the paper's element-wise gate, Qwen3-Next
  per_head      // W [heads, features]: its headwise gate
};

struct MultiHeadAttentionOptions {
  Index heads = 1;
  Index kv_heads = 0;         // 0: as heads; else heads % kv_heads == 0, grouped-query attention
  Index head_dim = 0;         // 0: features / heads
  Index source_features = 0;  // of the tensors that keys and values come from; 0: as features
  Bias bias = Bias::yes;      // of all four projections
  Projection projection = Projection::separate;
  bool output_projection = true;  // else the heads' results, side by side, are the output
  double dropout = 0;             // of the attention weights, in Mode::train
  Index value_features = 0;       // of the tensor that values come from; 0: as source_features
  bool add_bias_kv = false;       // one learned key and value more (bias_key, bias_value) and
  bool add_zero_attn = false;     // one of zeros after it: every query sees them, as in torch
  std::optional<RotaryOptions> rope = {};
  QkNorm qk_norm = QkNorm::none;
  double qk_norm_eps = 1e-6;
  OutputGate gate = OutputGate::none;
  bool sinks = false;       // a learned number of each head joins the softmax of its rows: gpt-oss
  bool checkpoint = false;  // training keeps the inputs alone; backward computes the rest again

  // With every 0 filled in, as MultiHeadAttention::options() are:
  Index query_size() const { return heads * head_dim; }
  Index key_size() const { return kv_heads * head_dim; }
  Index gate_size() const {
    if (gate == OutputGate::none) return 0;
    return gate == OutputGate::per_head ? heads : query_size();
  }
  int extra_keys() const { return (add_bias_kv ? 1 : 0) + (add_zero_attn ? 1 : 0); }
};

inline namespace HEED_ABI {

// Throws heed::Error where a fused projection would have more than one input.
inline void check_fused(const MultiHeadAttentionOptions& options, Index features) {
  const auto refuse = [&](const char* what, Index number) {
    throw Error(
        "heed::nn::MultiHeadAttention: a fused projection takes one input, but queries have " +
        std::to_string(features) + " features and " + what + " " + std::to_string(number));
  };
  if (options.source_features != features) refuse("keys", options.source_features);
  if (options.value_features != features) refuse("values", options.value_features);
}

// The options with every 0 filled in. Throws heed::Error, with the numbers, where they do not fit.
inline MultiHeadAttentionOptions resolve(MultiHeadAttentionOptions options, Index features) {
  const auto refuse = [&](const std::string& text) {
    throw Error("heed::nn::MultiHeadAttention: " + text);
  };
  const auto number = [](Index n) { return std::to_string(n); };
  if (features < 1) refuse(number(features) + " features");
  if (options.heads < 1) refuse(number(options.heads) + " heads");
  if (options.kv_heads == 0) options.kv_heads = options.heads;
  if (options.kv_heads < 0 || options.heads % options.kv_heads != 0) {
    refuse(number(options.heads) + " heads do not divide among " + number(options.kv_heads) +
           " key heads");
  }
  if (options.head_dim == 0 && features % options.heads != 0) {
    refuse(number(features) + " features do not divide among " + number(options.heads) + " heads");
  }
  if (options.head_dim == 0) options.head_dim = features / options.heads;
  if (options.head_dim < 0) refuse("head_dim " + number(options.head_dim));
  if (options.source_features == 0) options.source_features = features;
  if (options.source_features < 0) refuse(number(options.source_features) + " source_features");
  if (options.value_features == 0) options.value_features = options.source_features;
  if (options.value_features < 0) refuse(number(options.value_features) + " value_features");
  if (options.projection == Projection::fused) check_fused(options, features);
  check_dropout("heed::nn::MultiHeadAttention", options.dropout);
  return options;
}

}  // namespace HEED_ABI
}  // namespace heed::nn
