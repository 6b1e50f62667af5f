#include "models/llama_weights.hpp"

#include <algorithm>
#include <string>

#include "models/printable.hpp"

namespace heed::models {
namespace {

std::string in_layer(Index layer, const char* name) {
  return "blk." + std::to_string(layer) + "." + name + ".weight";
}

// A vector of the file as the weight of a norm.
nn::RmsNorm<float> read_norm(const Gguf& file, const std::string& name, const LlamaConfig& config) {
  nn::RmsNorm<float> norm(config.features, {.eps = config.rms_epsilon});
  const std::uint64_t shape[] = {static_cast<std::uint64_t>(config.features)};
  const std::vector<float> values = file.finite_floats(name, shape);
  nn::each_parameter(norm, [&](const std::string&, nn::Parameter<float>& parameter) {
    std::ranges::copy(values, parameter.value.data());
  });
  return norm;
}

// Throws heed::Error for a tensor that no part of the model reads, such as a bias.
const Gguf& without_unknown_tensors(const Gguf& file, const LlamaConfig& config) {
  std::vector<std::string> known{"token_embd.weight", "output_norm.weight", "output.weight"};
  for (Index layer = 0; layer < config.layers; ++layer) {
    for (const char* name : {"attn_norm", "ffn_norm", "attn_q", "attn_k", "attn_v", "attn_output",
                             "ffn_gate", "ffn_up", "ffn_down"}) {
      known.push_back(in_layer(layer, name));
    }
  }
  std::ranges::sort(known);
  for (const auto& [name, tensor] : file.header().tensors) {
    if (std::ranges::binary_search(known, name)) continue;
    file.refuse("tensor " + printable(name) + " is not part of a Llama model as implemented");
  }
  return file;
}

}  // namespace

LlamaLayer::LlamaLayer(const Gguf& file, const LlamaConfig& config, Index n, WeightFormat format,
                       const nn::Options& options)
    : attention_norm(read_norm(file, in_layer(n, "attn_norm"), config)),
      feed_forward_norm(read_norm(file, in_layer(n, "ffn_norm"), config)),
      qkv(file,
          {{in_layer(n, "attn_q"), config.q_features()},
           {in_layer(n, "attn_k"), config.kv_features()},
           {in_layer(n, "attn_v"), config.kv_features()}},
          config.features, format, options),
      output(file, {{in_layer(n, "attn_output"), config.features}}, config.q_features(), format,
             options),
      gate_up(file,
              {{in_layer(n, "ffn_gate"), config.hidden}, {in_layer(n, "ffn_up"), config.hidden}},
              config.features, format, options),
      down(file, {{in_layer(n, "ffn_down"), config.features}}, config.hidden, format, options) {}

Llama::Weights::Weights(const Gguf& file, const LlamaConfig& config, WeightFormat format,
                        const nn::Options& options)
    : embedding(without_unknown_tensors(file, config), {{"token_embd.weight", config.vocabulary}},
                config.features, format, options),
      norm(read_norm(file, "output_norm.weight", config)) {
  if (file.header().tensors.contains("output.weight")) {
    const WeightPart part{"output.weight", config.vocabulary};
    own_output =
        std::make_unique<ModelWeight>(file, std::vector{part}, config.features, format, options);
  }
  for (Index n = 0; n < config.layers; ++n) layers.emplace_back(file, config, n, format, options);
}

}  // namespace heed::models
