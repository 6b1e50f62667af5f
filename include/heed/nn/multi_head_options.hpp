// What a multi-head attention is made of.
#pragma once

#include "heed/core/types.hpp"
#include "heed/nn/linear.hpp"

namespace heed::nn {

// How the three input weights are stored and named. Results are the same bits.
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
};

}  // namespace heed::nn
