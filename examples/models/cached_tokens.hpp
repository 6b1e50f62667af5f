// A sequence's tokens in the middle of its caches: looked at, and forgotten.
#pragma once

#include <vector>

#include "heed/heed.hpp"
#include "models/layer_caches.hpp"

namespace heed::models {

// The weights of one query over all keys of a layer, as floats.
//
//   q        [1, heads, 1, D]
//   returns  [heads, length]
Tensor2<float> look_at(const View<float, 4>& q, LayerCaches& caches, Index layer);

// Forgets tokens [first, first + count) of a layer at a time: those behind move up, and their keys
// are turned back by `count` positions, so that every distance within the cache is what it would be
// without the gap. A turned key is rounded to the format once more, of codes its value too. Xiao et
// al., "Efficient Streaming Language Models with Attention Sinks" (2024), section 3.2.
class ForgetTokens {
 public:
  // Allocates all that the calls need; they allocate nothing.
  ForgetTokens(const LayerCaches& caches, const position::RopeFrequencies& frequencies, Index first,
               Index count);

  void operator()(LayerCaches& caches, Index layer);

 private:
  Index first_, count_;
  Tensor4<float> k_, v_;  // the tokens behind
  position::RopeTable<float> back_;
  std::vector<Index> places_;
};

}  // namespace heed::models
