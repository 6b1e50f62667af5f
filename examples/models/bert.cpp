#include "models/bert.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "heed/attention/reference/forward.hpp"
#include "heed/core/eigen.hpp"
#include "heed/core/error.hpp"
#include "heed/mask/padding.hpp"
#include "heed/nn/encoder_block.hpp"
#include "heed/nn/layer_norm.hpp"
#include "heed/nn/load.hpp"
#include "heed/nn/prepare.hpp"
#include "models/cuda_attention.hpp"

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

// Throws heed::Error where a number is not finite: weights that are can still be too large.
void require_finite(std::span<const float> numbers, const char* what) {
  if (std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); })) return;
  throw Error(std::string("heed::models::Bert: ") + what +
              " leave the range of float; the model's weights are too large");
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

struct Bert::Weights {
  std::vector<float> word;        // [vocabulary, hidden]
  std::vector<float> position;    // [positions, hidden]
  std::vector<float> token_type;  // [token_types, hidden]
  nn::LayerNorm<float> norm;
  std::vector<nn::EncoderBlock<float>> blocks;

  Weights(const BertConfig& config, const files::Safetensors& file);

  // The vector of a word, [hidden].
  std::span<const float> word_vector(TokenId id) const {
    const auto D = static_cast<std::size_t>(norm.features());
    return std::span(word).subspan(static_cast<std::size_t>(id) * D, D);
  }

  // [B, L, hidden]: what the first block is given.
  Tensor3<float> embed(std::span<const TokenId> ids, Index B, Index L, int threads) const;
};

Bert::Weights::Weights(const BertConfig& config, const files::Safetensors& file)
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

Tensor3<float> Bert::Weights::embed(std::span<const TokenId> ids, Index B, Index L,
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

Bert::Bert(const BertConfig& config, const files::Safetensors& file)
    : config_(config), weights_(std::make_unique<const Weights>(config, file)) {}
Bert::Bert(Bert&& other) noexcept = default;
Bert::~Bert() = default;

// Throws heed::Error for ids [B, L] that do not fit the lengths, the positions or the vocabulary.
void Bert::check(std::span<const TokenId> ids, std::span<const int> lengths) const {
  const auto refuse = [](const std::string& why) { throw Error("heed::models::Bert: " + why); };
  const std::size_t B = lengths.size();
  if (B == 0 ? !ids.empty() : ids.size() % B != 0) {
    refuse(std::to_string(ids.size()) + " ids do not make " + std::to_string(B) + " rows");
  }
  const std::size_t L = B == 0 ? 0 : ids.size() / B;
  if (L > config_.positions) {
    refuse(std::to_string(L) + " tokens but the model has " + std::to_string(config_.positions) +
           " positions");
  }
  for (const int length : lengths) {
    if (length < 1 || static_cast<std::size_t>(length) > L) {
      refuse("length " + std::to_string(length) + " is outside [1, " + std::to_string(L) + "]");
    }
  }
  for (const TokenId id : ids) {
    if (id < 0 || static_cast<std::uint64_t>(id) >= config_.vocabulary) {
      refuse("id " + std::to_string(id) + " is outside [0, " + std::to_string(config_.vocabulary) +
             ")");
    }
  }
}

std::vector<float> Bert::forward(std::span<const TokenId> ids, std::span<const int> lengths,
                                 std::size_t layers, int threads, Device device) const {
  check(ids, lengths);
  if (layers > config_.layers) {
    throw Error("heed::models::Bert: " + std::to_string(layers) + " layers are wanted of " +
                std::to_string(config_.layers));
  }
  if (lengths.empty()) return {};
  const auto B = static_cast<Index>(lengths.size());
  const auto L = static_cast<Index>(ids.size()) / B;
  Tensor3<float> x = weights_->embed(ids, B, L, threads);  // [B, L, D]
  const mask::Padding mask = mask::padding(lengths);
  const nn::Options options{.threads = threads};
  const auto on_cuda = [&](const auto& out, const auto& q, const auto& k, const auto& v,
                           const auto&...) {
    cuda_attention_into(mutable_view_of(out), view_of(q), view_of(k), view_of(v), lengths);
  };
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const nn::EncoderBlock<float>& block = weights_->blocks[layer];
    x = device == Device::cuda ? block.forward(x, mask, score::None{}, options, on_cuda)
                               : block.forward(x, mask, score::None{}, options);
  }
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    const auto D = static_cast<std::size_t>(x.dimension(2));
    require_finite(
        {x.data() + b * static_cast<std::size_t>(L) * D, static_cast<std::size_t>(lengths[b]) * D},
        "hidden states");
  }
  return {x.data(), x.data() + x.size()};
}

Tensor3<float> Bert::below(std::span<const TokenId> ids, std::size_t layer) const {
  if (layer >= config_.layers) {
    throw Error("heed::models::Bert: layer " + std::to_string(layer) + " of " +
                std::to_string(config_.layers));
  }
  const int length = static_cast<int>(ids.size());
  check(ids, std::span(&length, 1));
  Tensor3<float> x = weights_->embed(ids, 1, length, 0);  // [1, L, D]
  for (std::size_t n = 0; n < layer; ++n) x = weights_->blocks[n].forward(x);
  return x;
}

std::vector<float> Bert::attention_weights(std::span<const TokenId> ids, std::size_t layer) const {
  const Tensor3<float> x = below(ids, layer);  // [1, L, D]
  const auto weights = weights_->blocks[layer].attention().forward_with_weights(x).weights;
  require_finite({weights.data(), static_cast<std::size_t>(weights.size())}, "attention weights");
  return {weights.data(), weights.data() + weights.size()};  // [1, heads, L, L]
}

std::vector<float> Bert::word_attention(std::span<const TokenId> ids) const {
  const int length = static_cast<int>(ids.size());
  check(ids, std::span(&length, 1));
  Tensor3<float> words(1, length, static_cast<Index>(config_.hidden));  // [1, L, D]
  float* to = words.data();
  for (const TokenId id : ids) to = std::ranges::copy(weights_->word_vector(id), to).out;
  const auto weights = reference::attention(words, words, words).weights;  // [1, L, L]
  require_finite({weights.data(), static_cast<std::size_t>(weights.size())}, "attention weights");
  return {weights.data(), weights.data() + weights.size()};
}

HeadInputs Bert::head_inputs(std::span<const TokenId> ids, std::size_t layer) const {
  const Tensor3<float> x = below(ids, layer);  // [1, L, D]
  HeadInputs inputs;
  const auto copy = [&](const View<const float, 4>& from, std::vector<float>& to) {
    inputs.heads = static_cast<std::size_t>(from.extent[1]);
    inputs.length = static_cast<std::size_t>(from.extent[2]);
    inputs.dim = static_cast<std::size_t>(from.extent[3]);
    for (Index h = 0; h < from.extent[1]; ++h) {
      for (Index i = 0; i < from.extent[2]; ++i) {
        for (Index d = 0; d < from.extent[3]; ++d) to.push_back(from(0, h, i, d));
      }
    }
  };
  // The module hands q, k and v to whatever computes its attention: here they are kept on the way.
  const auto keep = [&](const auto& out, const auto& q, const auto& k, const auto& v,
                        const auto&... rest) {
    copy(view_of(q), inputs.q), copy(view_of(k), inputs.k), copy(view_of(v), inputs.v);
    nn::AttendHere{}(out, q, k, v, rest...);
  };
  weights_->blocks[layer].attention().forward(x, mask::None{}, score::None{}, {}, keep);
  for (const auto* numbers : {&inputs.q, &inputs.k, &inputs.v}) {
    require_finite(*numbers, "queries, keys or values");
  }
  return inputs;
}

}  // namespace heed::models
