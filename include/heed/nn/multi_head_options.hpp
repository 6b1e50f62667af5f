// Options of multi-head attention.
#pragma once

#include <string>

#include "heed/core/types.hpp"
#include "heed/nn/dropout.hpp"
#include "heed/nn/linear.hpp"

namespace heed::nn {

// Storage and names of the three input weights. Results have the same bits.
enum class Projection {
  separate,  // query.weight, key.weight, value.weight
  fused      // qkv.weight: the rows of query, then key, then value
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

  // With every 0 filled in, as MultiHeadAttention::options() are:
  Index query_size() const { return heads * head_dim; }
  Index key_size() const { return kv_heads * head_dim; }
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
