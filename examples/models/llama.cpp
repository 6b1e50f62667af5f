#include "models/llama.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "heed/heed.hpp"
#include "models/cached_tokens.hpp"
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

struct Layer {
  nn::RmsNorm<float> attention_norm, feed_forward_norm;
  ModelWeight qkv;      // [q_features + 2 · kv_features, features]
  ModelWeight output;   // [features, q_features]
  ModelWeight gate_up;  // [2 · hidden, features]
  ModelWeight down;     // [features, hidden]

  Layer(const Gguf& file, const LlamaConfig& config, Index n, WeightFormat format,
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
};

// Throws heed::Error for a tensor that no part of the model reads, such as a bias.
void refuse_unknown_tensors(const Gguf& file, const LlamaConfig& config) {
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
}

// Rows [n, size] of a buffer that grows.
View<float, 2> rows_of(std::vector<float>& buffer, Index n, Index size) {
  const auto wanted = static_cast<std::size_t>(checked_product(n, size));
  if (buffer.size() < wanted) buffer.resize(wanted);
  return matrix_of(buffer.data(), n, size);
}

// Heads [1, heads, n, dim] that stand side by side from feature `first` of each row on.
View<float, 4> heads_of(const View<float, 2>& rows, Index first, Index heads, Index dim) {
  return {rows.data + first,
          {1, heads, rows.extent[0], dim},
          {rows.extent[0] * rows.stride[0], dim, rows.stride[0], 1}};
}

// The places of a call's tokens behind the text before: those of the tree at its end count their
// ancestors.
std::vector<Index> places_of(Index n, std::span<const int> parents) {
  const Index text = n - std::ssize(parents);
  std::vector<Index> places;
  for (Index i = 0; i < n; ++i) {
    const int parent = i < text ? 0 : parents[static_cast<std::size_t>(i - text)];
    if (i < text || parent < 0) {
      places.push_back(std::min(i, text));
    } else {
      places.push_back(places[static_cast<std::size_t>(text + parent)] + 1);
    }
  }
  return places;
}

void add(const View<float, 2>& to, const View<float, 2>& x) {
  const Index size = to.extent[0] * to.extent[1];
  Eigen::Map<Eigen::ArrayXf>(to.data, size) += Eigen::Map<const Eigen::ArrayXf>(x.data, size);
}

}  // namespace

struct Llama::Weights {
  ModelWeight embedding;  // [vocabulary, features]
  std::vector<Layer> layers;
  nn::RmsNorm<float> norm;
  std::unique_ptr<ModelWeight> own_output;  // [vocabulary, features]; null: the embedding

  Weights(const Gguf& file, const LlamaConfig& config, WeightFormat format,
          const nn::Options& options)
      : embedding(file, {{"token_embd.weight", config.vocabulary}}, config.features, format,
                  options),
        norm(read_norm(file, "output_norm.weight", config)) {
    if (file.header().tensors.contains("output.weight")) {
      const WeightPart part{"output.weight", config.vocabulary};
      own_output =
          std::make_unique<ModelWeight>(file, std::vector{part}, config.features, format, options);
    }
    for (Index n = 0; n < config.layers; ++n) layers.emplace_back(file, config, n, format, options);
  }

  const ModelWeight& output() const { return own_output ? *own_output : embedding; }
};

// Keys and values of a sequence, and the memory of a call, which the next one uses again.
struct LlamaSequence::State {
  std::vector<kv::Cache<float>> caches;  // of each layer
  std::vector<float> x, normed, qkv, attended, gate_up, product, sum, room;
  std::optional<position::RopeTable<float>> rope;  // of the positions so far, and as many again

  nn::Options options;
  std::vector<Index> places;  // of the tokens of a call, behind the text before; none: in order

  // A file's context may be far above what is read, so the table grows with the sequence.
  void reserve_positions(Index count, const LlamaConfig& config) {
    if (rope && rope->count() >= count) return;
    const Index length = std::min(config.context, 2 * count);
    rope.emplace(length, position::rope_frequencies(config.rope_dim, config.rope_base));
  }
};

LlamaSequence::LlamaSequence(std::unique_ptr<State> state) : state_(std::move(state)) {}
LlamaSequence::LlamaSequence(LlamaSequence&& other) noexcept = default;
LlamaSequence& LlamaSequence::operator=(LlamaSequence&& other) noexcept = default;
LlamaSequence::~LlamaSequence() = default;

Index LlamaSequence::length() const { return state_->caches.front().length(0); }

std::size_t LlamaSequence::bytes() const {
  std::size_t bytes = 0;
  for (const auto& cache : state_->caches) {
    const kv::Extents of = cache.extents();
    bytes += sizeof(float) * static_cast<std::size_t>(cache.length(0) * of.Hkv * (of.D + of.Dv));
  }
  return bytes;
}

void LlamaSequence::truncate(Index length) {
  for (auto& cache : state_->caches) cache.truncate(0, length);
}

void LlamaSequence::keep(Index first, std::span<const Index> kept) {
  const bool ascending = std::ranges::is_sorted(kept, std::ranges::less_equal());
  if (first < 0 || first > length() || !ascending ||
      (!kept.empty() && (kept.front() < 0 || kept.back() >= length() - first))) {
    throw Error("heed::models::LlamaSequence: " + std::to_string(kept.size()) +
                " tokens to keep are not among those behind " + std::to_string(first));
  }
  for (auto& cache : state_->caches) keep_tokens(cache, first, kept);
}

Llama::Llama(const Gguf& file, const LlamaOptions& options)
    : config_(llama_config(file)),
      pool_(std::make_unique<WorkerPool>(worker_count(max_length, options.threads, nullptr))) {
  refuse_unknown_tensors(file, config_);
  nn::Options loading;
  loading.executor = pool_.get();
  weights_ = std::make_unique<const Weights>(file, config_, options.weights, loading);
}

Llama::Llama(Llama&& other) noexcept = default;
Llama::~Llama() = default;

std::size_t Llama::token_bytes() const {
  std::size_t bytes = weights_->output().bytes();
  for (const Layer& layer : weights_->layers) {
    bytes += layer.qkv.bytes() + layer.output.bytes() + layer.gate_up.bytes() + layer.down.bytes();
  }
  return bytes;
}

std::size_t Llama::weight_bytes() const {
  return token_bytes() + (weights_->own_output ? weights_->embedding.bytes() : 0);
}

Index Llama::parameters() const {
  const Index norms = (2 * config_.layers + 1) * config_.features;
  const Index layer = config_.features *
                      (2 * config_.q_features() + 2 * config_.kv_features() + 3 * config_.hidden);
  const Index tables = weights_->own_output ? 2 : 1;
  return norms + config_.layers * layer + tables * config_.vocabulary * config_.features;
}

LlamaSequence Llama::start() const {
  auto state = std::make_unique<LlamaSequence::State>();
  for (Index n = 0; n < config_.layers; ++n) {
    state->caches.emplace_back(
        kv::Extents{1, config_.kv_heads, config_.head_dim, config_.head_dim});
  }
  return LlamaSequence(std::move(state));
}

void Llama::forget(LlamaSequence& sequence, Index first, Index count) const {
  const Index length = sequence.length();
  if (first < 0 || count < 0 || first > length || count > length - first) {
    throw Error("heed::models::Llama: tokens " + std::to_string(first) + " … " +
                std::to_string(first + count) + " of a sequence of " + std::to_string(length));
  }
  ForgetTokens forget(sequence.state_->caches.front(),
                      position::rope_frequencies(config_.rope_dim, config_.rope_base), first,
                      count);
  for (auto& cache : sequence.state_->caches) forget(cache);
}

void Llama::check(std::span<const TokenId> ids, Index length, Index rows,
                  std::span<const int> parents) const {
  const auto refuse = [](const std::string& why) { throw Error("heed::models::Llama: " + why); };
  const auto n = static_cast<Index>(ids.size());
  if (n == 0 || rows < 0 || rows > n) {
    refuse("logits of " + std::to_string(rows) + " of " + std::to_string(n) + " tokens");
  }
  if (n > config_.context - length) {
    refuse(std::to_string(n) + " tokens behind " + std::to_string(length) +
           " do not fit the context of " + std::to_string(config_.context));
  }
  if (std::ssize(parents) > n) {
    refuse(std::to_string(parents.size()) + " parents of " + std::to_string(n) + " tokens");
  }
  for (std::size_t i = 0; i < parents.size(); ++i) {
    if (parents[i] >= -1 && parents[i] < static_cast<int>(i)) continue;
    refuse("drafted token " + std::to_string(i) + " has parent " + std::to_string(parents[i]));
  }
  for (const TokenId id : ids) {
    if (id >= 0 && id < config_.vocabulary) continue;
    refuse("id " + std::to_string(id) + " is outside [0, " + std::to_string(config_.vocabulary) +
           ")");
  }
}

// x += output(attention(rope(q), rope(k), v)), q, k and v of the normed x.
void Llama::attend(Index layer, LlamaSequence& sequence, Index n,
                   std::span<const int> parents) const {
  LlamaSequence::State& state = *sequence.state_;
  const Layer& weights = weights_->layers[static_cast<std::size_t>(layer)];
  kv::Cache<float>& cache = state.caches[static_cast<std::size_t>(layer)];
  const Index dim = config_.head_dim, of_q = config_.q_features(), of_kv = config_.kv_features();
  const auto x = rows_of(state.x, n, config_.features);
  const auto normed = rows_of(state.normed, n, config_.features);
  const auto qkv = rows_of(state.qkv, n, of_q + 2 * of_kv);
  weights.attention_norm.forward_into(normed, x.as_const(), state.options);
  weights.qkv.multiply_into(qkv, normed.as_const(), state.room, state.options);
  const auto q = heads_of(qkv, 0, config_.heads, dim);  // [1, heads, n, dim]
  const auto k = heads_of(qkv, of_q, config_.kv_heads, dim);
  const auto v = heads_of(qkv, of_q + of_kv, config_.kv_heads, dim);
  const position::RopeTokens tokens{cache.length(0), state.places};
  constexpr auto pairs = position::RopePairs::interleaved;
  position::rope_into(q, q.as_const(), *state.rope, tokens, pairs);
  position::rope_into(k, k.as_const(), *state.rope, tokens, pairs);
  cache.append(k.as_const(), v.as_const());
  const auto attended = rows_of(state.attended, n, of_q);
  const auto out = heads_of(attended, 0, config_.heads, dim);
  const Options options{.executor = pool_.get()};
  if (parents.empty()) {
    attention_into(out, q.as_const(), cache, mask::causal(), score::None{}, options);
  } else {
    attention_into(out, q.as_const(), cache, mask::tree(parents), score::None{}, options);
  }
  if (sequence.look) {
    const auto last = heads_of(slice(qkv, n - 1, 1), 0, config_.heads, dim);
    sequence.look(layer, look_at(last, cache));
  }
  const auto sum = rows_of(state.sum, n, config_.features);
  weights.output.multiply_into(sum, attended.as_const(), state.room, state.options);
  add(x, sum);
}

// x += down(silu(gate) ∘ up), gate and up of the normed x.
void Llama::feed_forward(Index layer, LlamaSequence& sequence, Index n) const {
  LlamaSequence::State& state = *sequence.state_;
  const Layer& weights = weights_->layers[static_cast<std::size_t>(layer)];
  const Index hidden = config_.hidden;
  const auto x = rows_of(state.x, n, config_.features);
  const auto normed = rows_of(state.normed, n, config_.features);
  const auto gate_up = rows_of(state.gate_up, n, 2 * hidden);
  const auto product = rows_of(state.product, n, hidden);
  weights.feed_forward_norm.forward_into(normed, x.as_const(), state.options);
  weights.gate_up.multiply_into(gate_up, normed.as_const(), state.room, state.options);
  const auto& kernels = simd::layer_kernels<float>(isa());
  constexpr Index rows_a_task = 8;
  const Index tasks = (n + rows_a_task - 1) / rows_a_task;
  Executor* executor = pool_.get();
  parallel_for(tasks, worker_count(tasks, 0, executor), executor, [&](Index task, int) {
    for (Index r = task * rows_a_task; r < std::min(n, (task + 1) * rows_a_task); ++r) {
      float* gate = gate_up.data + r * 2 * hidden;
      kernels.activate(simd::Activation::silu, gate, hidden);
      Eigen::Map<Eigen::ArrayXf>(product.data + r * hidden, hidden) =
          Eigen::Map<const Eigen::ArrayXf>(gate, hidden) *
          Eigen::Map<const Eigen::ArrayXf>(gate + hidden, hidden);
    }
  });
  const auto sum = rows_of(state.sum, n, config_.features);
  weights.down.multiply_into(sum, product.as_const(), state.room, state.options);
  add(x, sum);
}

Tensor2<float> Llama::forward(std::span<const TokenId> ids, LlamaSequence& sequence, Index rows,
                              std::span<const int> parents) const {
  if (std::ssize(sequence.state_->caches) != config_.layers) {
    throw Error("heed::models::Llama: the sequence is of another model");
  }
  const Index length = sequence.length();
  check(ids, length, rows, parents);
  sequence.state_->places =
      parents.empty() ? std::vector<Index>() : places_of(std::ssize(ids), parents);
  try {
    return read(ids, sequence, rows, parents);
  } catch (...) {
    sequence.truncate(length);
    throw;
  }
}

Tensor2<float> Llama::read(std::span<const TokenId> ids, LlamaSequence& sequence, Index rows,
                           std::span<const int> parents) const {
  LlamaSequence::State& state = *sequence.state_;
  state.options.executor = pool_.get();
  const auto n = static_cast<Index>(ids.size());
  state.reserve_positions(sequence.length() + n, config_);
  const auto x = rows_of(state.x, n, config_.features);
  for (Index i = 0; i < n; ++i) {
    weights_->embedding.row_into(ids[static_cast<std::size_t>(i)], x.data + i * config_.features);
  }
  for (Index layer = 0; layer < config_.layers; ++layer) {
    attend(layer, sequence, n, parents);
    feed_forward(layer, sequence, n);
  }
  Tensor2<float> logits(rows, config_.vocabulary);
  if (rows == 0) return logits;
  const auto normed = rows_of(state.normed, rows, config_.features);
  weights_->norm.forward_into(normed, slice(x, n - rows, rows).as_const(), state.options);
  weights_->output().multiply_into(mutable_view_of(logits), normed.as_const(), state.room,
                                   state.options);
  if (!std::all_of(logits.data(), logits.data() + logits.size(),
                   [](float logit) { return is_finite(logit); })) {
    throw Error("heed::models::Llama: logits are not finite");
  }
  return logits;
}

}  // namespace heed::models
