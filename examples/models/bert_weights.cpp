#include "models/bert_weights.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "heed/core/error.hpp"
#include "heed/nn/load.hpp"
#include "heed/nn/prepare.hpp"

namespace heed::models {
namespace {

using Rename = std::function<std::string(const std::string&)>;

// The names of a block's parts, heed's and those of BERT's checkpoints.
std::string checkpoint_name(std::size_t layer, const std::string& parameter) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 8> parts{
      {{"attention.query.", "attention.self.query."},
       {"attention.key.", "attention.self.key."},
       {"attention.value.", "attention.self.value."},
       {"attention.output.", "attention.output.dense."},
       {"norm1.", "attention.output.LayerNorm."},
       {"feed_forward.first.", "intermediate.dense."},
       {"feed_forward.second.", "output.dense."},
       {"norm2.", "output.LayerNorm."}}};
  const auto* part = std::find_if(parts.begin(), parts.end(), [&](const auto& names) {
    return parameter.starts_with(names.first);
  });
  if (part == parts.end()) throw Error("heed::models::Bert: no weights are known for " + parameter);
  return "encoder.layer." + std::to_string(layer) + "." + std::string(part->second) +
         parameter.substr(part->first.size());
}

// A tensor whose numbers are all numbers: one that is not would show as a vector of NaN, or in a
// sum that hides it.
std::vector<float> finite_floats(const files::Safetensors& file, const std::string& name,
                                 std::span<const std::uint64_t> shape) {
  std::vector<float> values = file.floats(name, shape);
  const auto bad = std::find_if_not(values.begin(), values.end(),
                                    [](float value) { return std::isfinite(value); });
  if (bad == values.end()) return values;
  throw Error("heed::models::Bert: tensor \"" + name + "\" holds " +
              (std::isnan(*bad) ? "a NaN" : "an infinity") + " at place " +
              std::to_string(bad - values.begin()));
}

// The layers that a file has: one more than the largest number in "encoder.layer.<number>.".
std::size_t layers_in(const files::Safetensors& file) {
  constexpr std::string_view prefix = "encoder.layer.";
  std::size_t layers = 0;
  for (const auto& [name, entry] : file.tensors()) {
    if (!name.starts_with(prefix)) continue;
    std::size_t layer = 0;
    const char* const end = name.data() + name.size();
    const auto [behind, error] = std::from_chars(name.data() + prefix.size(), end, layer);
    if (error == std::errc() && behind != end && *behind == '.')
      layers = std::max(layers, layer + 1);
  }
  return layers;
}

// Gives a module its weights; the file checks that each has the module's shape.
template <class Module>
void load(Module& module, const files::Safetensors& file, const Rename& rename) {
  std::map<std::string, std::vector<float>> values;
  nn::NamedTensors<float> source;
  nn::each_parameter(module, [&](const std::string& name, const auto& parameter) {
    const std::vector<Index> shape = parameter.shape();
    const std::string stored = rename(name);
    const std::vector<float>& held = values[stored] =
        finite_floats(file, stored, std::vector<std::uint64_t>(shape.begin(), shape.end()));
    source[stored] = {held.data(), shape};
  });
  nn::load(module, source, {.rename = rename});
}

nn::EncoderBlockOptions block_options(const BertConfig& config) {
  nn::EncoderBlockOptions options;
  options.attention.heads = static_cast<Index>(config.heads);
  options.hidden = static_cast<Index>(config.intermediate);
  options.norm = nn::NormPlace::post;
  options.eps = config.layer_norm_epsilon;
  return options;
}

}  // namespace

BertWeights::BertWeights(const BertConfig& config, const files::Safetensors& file)
    : word(finite_floats(file, "embeddings.word_embeddings.weight",
                         std::array{config.vocabulary, config.hidden})),
      position(finite_floats(file, "embeddings.position_embeddings.weight",
                             std::array{config.positions, config.hidden})),
      token_type(finite_floats(file, "embeddings.token_type_embeddings.weight",
                               std::array{config.token_types, config.hidden})),
      norm(static_cast<Index>(config.hidden), {.eps = config.layer_norm_epsilon}) {
  if (const std::size_t stored = layers_in(file); stored > config.layers) {
    throw Error("heed::models::Bert: the configuration says num_hidden_layers is " +
                std::to_string(config.layers) + " but the weights have " + std::to_string(stored) +
                " layers");
  }
  load(norm, file, [](const std::string& name) { return "embeddings.LayerNorm." + name; });
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    nn::EncoderBlock<float>& block =
        blocks.emplace_back(static_cast<Index>(config.hidden), block_options(config));
    load(block, file, [layer](const std::string& name) { return checkpoint_name(layer, name); });
    nn::prepare(block, {.threads = 1});
  }
}

std::span<const float> BertWeights::word_vector(TokenId id) const {
  const auto D = static_cast<std::size_t>(norm.features());
  return std::span(word).subspan(static_cast<std::size_t>(id) * D, D);
}

Tensor3<float> BertWeights::embed(std::span<const TokenId> ids, Index B, Index L,
                                  int threads) const {
  const auto D = static_cast<std::size_t>(norm.features());
  Tensor3<float> x(B, L, norm.features());
  for (std::size_t n = 0; n < ids.size(); ++n) {
    const std::span<const float> vector = word_vector(ids[n]);
    const std::size_t place = n % static_cast<std::size_t>(L);
    for (std::size_t d = 0; d < D; ++d) {
      x.data()[n * D + d] = vector[d] + token_type[d] + position[place * D + d];
    }
  }
  return norm.forward(x, {.threads = threads});
}

}  // namespace heed::models
