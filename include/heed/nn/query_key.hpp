// Queries and keys between their projection and attention: RMS norm, rotary position, rounding.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "heed/nn/multi_head_options.hpp"
#include "heed/nn/rms_norm.hpp"
#include "heed/nn/round.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// Packed tokens [B, L, heads · size] as [B, L · heads, size]: the same memory.
template <class T>
View<T, 3> by_head(const View<T, 3>& x, Index size) {
  const Index heads = x.extent[2] / size;
  HEED_ASSERT(x.stride[2] == 1 && (x.extent[1] <= 1 || x.stride[1] == x.extent[2]));
  return {x.data, {x.extent[0], x.extent[1] * heads, size}, {x.stride[0], size, 1}};
}

template <class T>
class QueryKey {
 public:
  // Throws heed::Error for a rotation that the heads' features do not have.
  explicit QueryKey(const MultiHeadAttentionOptions& options)
      : heads_(options.heads),
        kv_heads_(options.kv_heads),
        query_size_(options.query_size()),
        key_size_(options.key_size()) {
    if (options.qk_norm != QkNorm::none) {
      const bool per_head = options.qk_norm == QkNorm::per_head;
      const RmsNormOptions norm{.eps = options.qk_norm_eps};
      query_norm_.emplace(per_head ? options.head_dim : options.query_size(), norm);
      key_norm_.emplace(per_head ? options.head_dim : options.key_size(), norm);
    }
    if (options.rope) make_table(*options.rope, options.head_dim);
  }

  bool normalises() const { return query_norm_.has_value(); }

  // Changes the projections of one call in place; in the end they are rounded as products are.
  //   q [B, Lq, heads · head_dim]   k [B, Lk, kv_heads · head_dim]   packed
  //   positions [B · L] of q and k alike; none: both sequences end together
  void apply(const View<T, 3>& q, const View<T, 3>& k, const Options& options,
             std::span<const Index> positions = {}) const {
    if (normalises()) {
      normalise(q, *query_norm_, options);
      normalise(k, *key_norm_, options);
    }
    if (rope_ != nullptr) turn(q, k, positions);
    round_tokens(q, options);
    round_tokens(k, options);
  }

  // forward: x → norm → rotation; so: the gradients are turned back, then go through the norm. They
  // are changed in place; raw_q and raw_k are the projections, where there is a norm.
  void backward(const View<T, 3>& d_q, const View<T, 3>& d_k, const Tensor3<T>& raw_q,
                const Tensor3<T>& raw_k, QueryKey& gradients, const Options& options) const {
    if (rope_ != nullptr) {
      const auto q_heads = swap_heads(split_heads(d_q, heads_));
      const auto k_heads = swap_heads(split_heads(d_k, kv_heads_));
      position::rope_gradient_into(q_heads, q_heads.as_const(), *rope_, places(d_q, d_k), pairs_);
      position::rope_gradient_into(k_heads, k_heads.as_const(), *rope_, places(d_k, d_q), pairs_);
    }
    if (!normalises()) return;
    const auto back = [&](const View<T, 3>& d, const Tensor3<T>& raw, const RmsNorm<T>& norm,
                          RmsNorm<T>& gradient) {
      const auto by = by_head(d, norm.features());
      norm.backward_into(by, by.as_const(), by_head(view_of(raw), norm.features()), gradient,
                         options);
    };
    back(d_q, raw_q, *query_norm_, *gradients.query_norm_);
    back(d_k, raw_k, *key_norm_, *gradients.key_norm_);
  }

  // True where `other` has the same norms, as the gradients of this have.
  bool matches(const QueryKey& other) const {
    return normalises() == other.normalises() &&
           (!normalises() || (query_norm_->features() == other.query_norm_->features() &&
                              key_norm_->features() == other.key_norm_->features()));
  }

  // Of apply for so many queries and keys, at an aligned address.
  std::size_t scratch_bytes(Index queries, Index keys, const Options& options) const {
    if (!normalises()) return 0;
    const Index q_rows = checked_product(queries, query_size_ / query_norm_->features());
    const Index k_rows = checked_product(keys, key_size_ / key_norm_->features());
    return std::max(query_norm_->scratch_bytes(q_rows, options),
                    key_norm_->scratch_bytes(k_rows, options));
  }

  // Names: query_norm.weight and key_norm.weight, where there is a norm.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    if (!self.normalises()) return;
    nn::each_parameter(*self.query_norm_, visit, prefix + "query_norm.");
    nn::each_parameter(*self.key_norm_, visit, prefix + "key_norm.");
  }

 private:
  void make_table(const RotaryOptions& rope, Index head_dim) {
    const Index dim = rope.dim == 0 ? head_dim : rope.dim;
    if (dim > head_dim || rope.positions < 1) {
      throw Error("heed::nn::MultiHeadAttention: " + std::to_string(rope.positions) +
                  " positions turn " + std::to_string(dim) + " features of a head that has " +
                  std::to_string(head_dim));
    }
    position::RopeTable<Accum<T>> table(rope.positions,
                                        position::rope_frequencies(dim, rope.base, rope.scaling));
    rope_ = std::make_shared<const position::RopeTable<Accum<T>>>(std::move(table));
    pairs_ = rope.pairs;
  }

  void turn(const View<T, 3>& q, const View<T, 3>& k, std::span<const Index> positions) const {
    const auto q_heads = swap_heads(split_heads(q, heads_));
    const auto k_heads = swap_heads(split_heads(k, kv_heads_));
    const auto stand = [&](const View<T, 3>& own, const View<T, 3>& other) {
      return positions.empty() ? places(own, other) : position::RopeTokens{0, positions};
    };
    position::rope_into(q_heads, q_heads.as_const(), *rope_, stand(q, k), pairs_);
    position::rope_into(k_heads, k_heads.as_const(), *rope_, stand(k, q), pairs_);
  }

  static void normalise(const View<T, 3>& x, const RmsNorm<T>& norm, const Options& options) {
    const auto rows = by_head(x, norm.features());
    norm.forward_into(rows, rows.as_const(), options);
  }

  // Both sequences end together, and the longer one begins at position 0.
  static position::RopeTokens places(const View<T, 3>& own, const View<T, 3>& other) {
    return {std::max<Index>(0, other.extent[1] - own.extent[1]), {}};
  }

  std::optional<RmsNorm<T>> query_norm_, key_norm_;
  std::shared_ptr<const position::RopeTable<Accum<T>>> rope_;  // null without a rotation
  position::RopePairs pairs_ = position::RopePairs::half_split;
  Index heads_, kv_heads_, query_size_, key_size_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
