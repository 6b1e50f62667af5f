// Results of forward_train that backward of a decoder block reads.
#pragma once

#include <optional>

#include "heed/nn/sublayers.hpp"

namespace heed::nn {

// A forward_train call without memory.
template <class T, class F>
struct DecoderSaved {
  typename AttentionSublayer<T>::Saved attention;
  typename FeedForwardSublayer<T, F>::Saved feed_forward;
  std::optional<BlockInput<T>> input = {};  // of a checkpointed call, which has nothing else
};

// A forward_train call with an encoder's output.
template <class T, class F>
struct DecoderSavedWithMemory {
  DecoderSaved<T, F> own;
  typename AttentionSublayer<T>::Saved cross_attention;
};

}  // namespace heed::nn
