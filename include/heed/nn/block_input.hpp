// The input of a checkpointed block.
#pragma once

#include "heed/nn/gradients.hpp"

namespace heed::nn {

// All that a checkpointed block keeps of a call: backward computes the rest again, with the same
// dropout. Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016).
template <class T>
struct BlockInput {
  Tensor3<T> x;       // [B, L, features]
  Tensor3<T> memory;  // [B, Lk, …], or empty
  SavedDropout dropout;

  // Options of the second forward pass, which has the memory it needs from the heap.
  Options again(const Options& options) const {
    Options same = dropout.with(options);
    same.workspace = {};
    return same;
  }
};

}  // namespace heed::nn
