// A sequence's tokens in the middle of its caches: looked at, and forgotten.
#pragma once

#include "heed/heed.hpp"
#include "models/layer_caches.hpp"

namespace heed::models {

// The weights of one query over all keys of a layer, as floats.
//
//   q        [1, heads, 1, D]
//   returns  [heads, length]
Tensor2<float> look_at(const View<float, 4>& q, LayerCaches& caches, Index layer);

// Forgets tokens [first, first + count) of all layers: those behind move up, and their keys are
// turned back by `count` positions, so that every distance within the cache is what it would be
// without the gap. A turned key is rounded to the format once more, of codes its value too. Xiao et
// al., "Efficient Streaming Language Models with Attention Sinks" (2024), section 3.2.
//
// Throws heed::Error where a turned key is beyond what the format can hold; then, as where memory
// ends, the caches are as before.
void forget_tokens(LayerCaches& caches, const position::RopeFrequencies& frequencies, Index first,
                   Index count);

}  // namespace heed::models
