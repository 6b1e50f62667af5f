#include "models/llama_config.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

#include "models/printable.hpp"

namespace heed::models {
namespace {

// Far above any model, far below where a product of two sizes would leave 64 bits.
constexpr std::uint64_t max_size = std::uint64_t{1} << 24U;

Index size(const Gguf& file, const char* key) {
  return static_cast<Index>(file.count(key, 1, max_size));
}
// Layers: not more than the file has tensors for, each of nine.
Index layer_count(const Gguf& file) {
  const std::uint64_t most = std::max<std::uint64_t>(1, file.header().tensors.size() / 9);
  return static_cast<Index>(file.count("llama.block_count", 1, most));
}
// The value of a key, or `otherwise` in a file without it.
Index size_or(const Gguf& file, const char* key, Index otherwise) {
  return file.has(key) ? size(file, key) : otherwise;
}

double positive(const Gguf& file, const char* key) {
  const double value = file.real(key);
  if (!(value > 0) || !is_finite(value)) file.refuse(std::string(key) + " is not positive");
  return value;
}

void refuse_others(const Gguf& file) {
  if (const std::string& name = file.text("general.architecture"); name != "llama") {
    file.refuse("the architecture is " + printable(name) + "; only llama is implemented");
  }
  for (const char* key : {"llama.expert_count", "llama.rope.scaling.type"}) {
    if (file.has(key)) file.refuse("it has " + std::string(key) + ", which is not implemented");
  }
}

}  // namespace

LlamaConfig llama_config(const Gguf& file) {
  refuse_others(file);
  LlamaConfig config;
  config.vocabulary = static_cast<Index>(file.texts("tokenizer.ggml.tokens").size());
  config.context = size(file, "llama.context_length");
  config.layers = layer_count(file);
  config.features = size(file, "llama.embedding_length");
  config.hidden = size(file, "llama.feed_forward_length");
  config.heads = size(file, "llama.attention.head_count");
  config.kv_heads = size_or(file, "llama.attention.head_count_kv", config.heads);
  config.head_dim = size_or(file, "llama.attention.key_length", config.features / config.heads);
  config.rope_dim = size_or(file, "llama.rope.dimension_count", config.head_dim);
  config.rope_base =
      file.has("llama.rope.freq_base") ? positive(file, "llama.rope.freq_base") : 1e4;
  config.rms_epsilon = positive(file, "llama.attention.layer_norm_rms_epsilon");
  if (config.head_dim == 0 || config.heads % config.kv_heads != 0) {
    file.refuse(std::to_string(config.features) + " features, " + std::to_string(config.heads) +
                " heads and " + std::to_string(config.kv_heads) + " key heads do not fit");
  }
  if (config.rope_dim % 2 != 0 || config.rope_dim > config.head_dim) {
    file.refuse("llama.rope.dimension_count is " + std::to_string(config.rope_dim) + " of " +
                std::to_string(config.head_dim) + " features of a head");
  }
  return config;
}

}  // namespace heed::models
