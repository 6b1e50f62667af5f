#include "models/bert.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "heed/attention/reference/forward.hpp"
#include "heed/core/error.hpp"
#include "heed/mask/padding.hpp"
#include "models/bert_weights.hpp"
#include "models/cuda_attention.hpp"

namespace heed::models {
namespace {

// Throws heed::Error where a number is not finite: weights that are can still be too large.
void require_finite(std::span<const float> numbers, const char* what) {
  if (std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); })) return;
  throw Error(std::string("heed::models::Bert: ") + what +
              " leave the range of float; the model's weights are too large");
}

}  // namespace

Bert::Bert(const BertConfig& config, const files::Safetensors& file)
    : config_(config), weights_(std::make_unique<const BertWeights>(config, file)) {}
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
