// The caches of a sequence, and the memory of a call, which the next one uses again.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "heed/nn/options.hpp"
#include "heed/position/rope.hpp"
#include "models/layer_caches.hpp"
#include "models/llama_config.hpp"
#include "models/llama_sequence.hpp"

namespace heed::models {

struct LlamaSequence::State {
  CacheFormat format;
  std::unique_ptr<LayerCaches> caches;
  std::vector<float> x, normed, qkv, attended, gate_up, product, sum, room;
  std::optional<position::RopeTable<float>> rope;  // of the positions so far, and as many again

  nn::Options options;
  std::vector<Index> places;  // of the tokens of a call, behind the text before; none: in order

  State(CacheFormat of, const LlamaConfig& config)
      : format(of),
        caches(make_layer_caches(of, config.layers,
                                 {1, config.kv_heads, config.head_dim, config.head_dim})) {}

  State(CacheFormat of, std::unique_ptr<LayerCaches> read) : format(of), caches(std::move(read)) {}

  // A file's context may be far above what is read, so the table grows with the sequence.
  void reserve_positions(Index count, const LlamaConfig& config) {
    if (rope && rope->count() >= count) return;
    const Index length = std::min(config.context, 2 * count);
    rope.emplace(length, position::rope_frequencies(config.rope_dim, config.rope_base));
  }
};

}  // namespace heed::models
