// The obvious decoder, in double: every token attends to all before it, nothing is kept.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "models/gguf.hpp"
#include "models/llama_config.hpp"
#include "models/vocabulary.hpp"

namespace heed::models::test {

class LlamaReference {
 public:
  using Vector = std::vector<double>;

  explicit LlamaReference(const Gguf& file) : file_(file), config_(llama_config(file)) {
    embedding_ = matrix("token_embd.weight", config_.vocabulary, config_.features);
    norm_ = vector("output_norm.weight");
    for (Index n = 0; n < config_.layers; ++n) {
      const std::string in = "blk." + std::to_string(n) + ".";
      const Index F = config_.features, kv = config_.kv_features();
      layers_.push_back({vector(in + "attn_norm.weight"), vector(in + "ffn_norm.weight"),
                         matrix(in + "attn_q.weight", config_.q_features(), F),
                         matrix(in + "attn_k.weight", kv, F), matrix(in + "attn_v.weight", kv, F),
                         matrix(in + "attn_output.weight", F, config_.q_features()),
                         matrix(in + "ffn_gate.weight", config_.hidden, F),
                         matrix(in + "ffn_up.weight", config_.hidden, F),
                         matrix(in + "ffn_down.weight", F, config_.hidden)});
    }
  }

  // Before token `before`, `count` tokens from `first` on are forgotten, counted among those that
  // are left; those behind stand `count` nearer to the tokens before them.
  struct Gap {
    std::size_t first, count, before;
  };

  // Logits of every token, [tokens][vocabulary].
  std::vector<Vector> forward(const std::vector<TokenId>& ids,
                              const std::vector<Gap>& gaps = {}) const {
    std::vector<Vector> x;
    for (const TokenId id : ids) x.push_back(row(embedding_, id));
    for (const Layer& layer : layers_) {
      attend(layer, x, gaps);
      for (Vector& token : x) feed_forward(layer, token);
    }
    std::vector<Vector> logits;
    for (const Vector& token : x) logits.push_back(times(embedding_, normed(token, norm_)));
    return logits;
  }

 private:
  struct Matrix {
    std::vector<float> elements;  // [rows, columns]
    Index columns;
  };
  struct Layer {
    Vector attention_norm, feed_forward_norm;
    Matrix q, k, v, output, gate, up, down;
  };

  static std::size_t at(Index n) { return static_cast<std::size_t>(n); }

  Matrix matrix(const std::string& name, Index rows, Index columns) const {
    const std::uint64_t shape[] = {static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(columns)};
    return {file_.floats(name, shape), columns};
  }
  Vector vector(const std::string& name) const {
    const std::uint64_t shape[] = {static_cast<std::uint64_t>(config_.features)};
    const std::vector<float> values = file_.floats(name, shape);
    return {values.begin(), values.end()};
  }

  static Vector row(const Matrix& w, Index n) {
    const auto begin = w.elements.begin() + n * w.columns;
    return {begin, begin + w.columns};
  }
  static Vector times(const Matrix& w, const Vector& x) {
    Vector y(w.elements.size() / x.size());
    for (std::size_t n = 0; n < w.elements.size(); ++n) {
      y[n / x.size()] += static_cast<double>(w.elements[n]) * x[n % x.size()];
    }
    return y;
  }

  Vector normed(const Vector& x, const Vector& weight) const {
    double squares = 0;
    for (const double value : x) squares += value * value;
    const double root = std::sqrt(squares / static_cast<double>(x.size()) + config_.rms_epsilon);
    Vector y(x.size());
    for (std::size_t j = 0; j < x.size(); ++j) y[j] = x[j] / root * weight[j];
    return y;
  }

  // Features 2n and 2n + 1 of each head are turned by position · base^(−2n / dim).
  void turn(Vector& heads, std::size_t position) const {
    for (Index first = 0; first < static_cast<Index>(heads.size()); first += config_.head_dim) {
      for (Index n = 0; n < config_.rope_dim; n += 2) {
        const double power = static_cast<double>(n) / static_cast<double>(config_.rope_dim);
        const double angle = static_cast<double>(position) * std::pow(config_.rope_base, -power);
        double& a = heads[at(first + n)];
        double& b = heads[at(first + n + 1)];
        const double turned = a * std::cos(angle) - b * std::sin(angle);
        b = b * std::cos(angle) + a * std::sin(angle);
        a = turned;
      }
    }
  }

  // The tokens that token i sees, in the order of their positions 0, 1, ….
  static std::vector<std::size_t> seen_by(std::size_t i, const std::vector<Gap>& gaps) {
    std::vector<std::size_t> seen;
    std::size_t next = 0;
    const auto read = [&](std::size_t end) {
      while (next < end) seen.push_back(next++);
    };
    for (const Gap& gap : gaps) {
      if (gap.before > i) break;
      read(gap.before);
      const auto begin = seen.begin() + static_cast<std::ptrdiff_t>(gap.first);
      seen.erase(begin, begin + static_cast<std::ptrdiff_t>(gap.count));
    }
    read(i + 1);
    return seen;
  }

  void attend(const Layer& layer, std::vector<Vector>& x, const std::vector<Gap>& gaps) const {
    std::vector<Vector> q, k, v;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Vector from = normed(x[i], layer.attention_norm);
      q.push_back(times(layer.q, from));
      k.push_back(times(layer.k, from));
      v.push_back(times(layer.v, from));
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      std::vector<Vector> keys, values;
      for (const std::size_t j : seen_by(i, gaps)) {
        keys.push_back(k[j]);
        turn(keys.back(), keys.size() - 1);
        values.push_back(v[j]);
      }
      Vector query = q[i], heads(at(config_.q_features()));
      turn(query, keys.size() - 1);
      for (Index h = 0; h < config_.heads; ++h) attend_head(h, query, keys, values, heads);
      const Vector y = times(layer.output, heads);
      for (std::size_t j = 0; j < y.size(); ++j) x[i][j] += y[j];
    }
  }

  void attend_head(Index h, const Vector& q, const std::vector<Vector>& k,
                   const std::vector<Vector>& v, Vector& out) const {
    const Index dim = config_.head_dim, kv = h / (config_.heads / config_.kv_heads);
    Vector weights(k.size());
    double sum = 0;
    for (std::size_t j = 0; j < k.size(); ++j) {
      double dot = 0;
      for (Index d = 0; d < dim; ++d) dot += q[at(h * dim + d)] * k[j][at(kv * dim + d)];
      weights[j] = std::exp(dot / std::sqrt(static_cast<double>(dim)));
      sum += weights[j];
    }
    for (std::size_t j = 0; j < k.size(); ++j) {
      for (Index d = 0; d < dim; ++d) {
        out[at(h * dim + d)] += weights[j] / sum * v[j][at(kv * dim + d)];
      }
    }
  }

  void feed_forward(const Layer& layer, Vector& x) const {
    const Vector from = normed(x, layer.feed_forward_norm);
    Vector gate = times(layer.gate, from);
    const Vector up = times(layer.up, from);
    for (std::size_t j = 0; j < gate.size(); ++j) gate[j] *= up[j] / (1 + std::exp(-gate[j]));
    const Vector y = times(layer.down, gate);
    for (std::size_t j = 0; j < y.size(); ++j) x[j] += y[j];
  }

  const Gguf& file_;
  LlamaConfig config_;
  Matrix embedding_;
  Vector norm_;
  std::vector<Layer> layers_;
};

}  // namespace heed::models::test
