#include "models/llama.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "heed/heed.hpp"
#include "models/cached_tokens.hpp"
#include "models/llama_state.hpp"
#include "models/llama_weights.hpp"

namespace heed::models {
namespace {

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

Llama::Llama(const Gguf& file, const LlamaOptions& options)
    : config_(llama_config(file)),
      pool_(std::make_unique<WorkerPool>(worker_count(max_length, options.threads, nullptr))) {
  nn::Options loading;
  loading.executor = pool_.get();
  weights_ = std::make_unique<const Weights>(file, config_, options.weights, loading);
}

Llama::Llama(Llama&& other) noexcept = default;
Llama::~Llama() = default;

std::size_t Llama::token_bytes() const {
  std::size_t bytes = weights_->output().bytes();
  for (const LlamaLayer& layer : weights_->layers) {
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

LlamaSequence Llama::start(CacheFormat format) const {
  return LlamaSequence(std::make_unique<LlamaSequence::State>(format, config_));
}

void Llama::forget(LlamaSequence& sequence, Index first, Index count) const {
  const Index length = sequence.length();
  if (first < 0 || count < 0 || first > length || count > length - first) {
    throw Error("heed::models::Llama: tokens " + std::to_string(first) + " … " +
                std::to_string(first + count) + " of a sequence of " + std::to_string(length));
  }
  forget_tokens(*sequence.state_->caches,
                position::rope_frequencies(config_.rope_dim, config_.rope_base), first, count);
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
  const LlamaLayer& weights = weights_->layers[static_cast<std::size_t>(layer)];
  LayerCaches& caches = *state.caches;
  const Index dim = config_.head_dim, of_q = config_.q_features(), of_kv = config_.kv_features();
  const auto x = rows_of(state.x, n, config_.features);
  const auto normed = rows_of(state.normed, n, config_.features);
  const auto qkv = rows_of(state.qkv, n, of_q + 2 * of_kv);
  weights.attention_norm.forward_into(normed, x.as_const(), state.options);
  weights.qkv.multiply_into(qkv, normed.as_const(), state.room, state.options);
  const auto q = heads_of(qkv, 0, config_.heads, dim);  // [1, heads, n, dim]
  const auto k = heads_of(qkv, of_q, config_.kv_heads, dim);
  const auto v = heads_of(qkv, of_q + of_kv, config_.kv_heads, dim);
  const position::RopeTokens tokens{caches.length(layer), state.places};
  constexpr auto pairs = position::RopePairs::interleaved;
  position::rope_into(q, q.as_const(), *state.rope, tokens, pairs);
  position::rope_into(k, k.as_const(), *state.rope, tokens, pairs);
  caches.append(layer, k.as_const(), v.as_const());
  const auto attended = rows_of(state.attended, n, of_q);
  const auto out = heads_of(attended, 0, config_.heads, dim);
  caches.attend(layer, out, q.as_const(), parents, {.executor = pool_.get()});
  if (sequence.look) {
    const auto last = heads_of(slice(qkv, n - 1, 1), 0, config_.heads, dim);
    sequence.look(layer, look_at(last, caches, layer));
  }
  const auto sum = rows_of(state.sum, n, config_.features);
  weights.output.multiply_into(sum, attended.as_const(), state.room, state.options);
  add(x, sum);
}

// x += down(silu(gate) ∘ up), gate and up of the normed x.
void Llama::feed_forward(Index layer, LlamaSequence& sequence, Index n) const {
  LlamaSequence::State& state = *sequence.state_;
  const LlamaLayer& weights = weights_->layers[static_cast<std::size_t>(layer)];
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
  if (sequence.state_->caches->layers() != config_.layers) {
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
  state.caches->make_room(sequence.length() + n, config_.context);
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
