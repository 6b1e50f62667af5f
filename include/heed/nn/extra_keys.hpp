// Keys that a module adds to those of the caller, seen by every query whatever the mask: a learned
// one and one of zeros, as torch.nn.MultiheadAttention's add_bias_kv and add_zero_attn.
//
// Attention runs over the caller's keys alone. Its rows and the few keys here are two parts of one
// softmax, which the log-sum-exp of the first joins: Dao, FlashAttention-2 (2023), section 3.1.
// Masks and scores so keep the caller's numbering, and neither touches the added keys.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "heed/core/eigen.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/random.hpp"
#include "heed/core/view.hpp"
#include "heed/nn/options.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// Up to two keys and values, each a row [kv_heads · dim]; null stands for zeros.
template <class T>
struct ExtraKeys {
  static constexpr std::size_t most = 2;
  const T* key[most] = {};
  const T* value[most] = {};
  int count = 0;

  void add(const T* one_key, const T* one_value) {
    key[count] = one_key;
    value[count++] = one_value;
  }
};

// The extra keys beside the queries of one call.
template <class T>
struct ExtraKeysCall {
  ExtraKeys<T> extra;
  View<const T, 4> q;  // [B, Hq, Lq, D]
  Index Hkv, Lk;
  double scale;
  Dropout dropout;
};

// Attention over the caller's keys; then over all keys.
template <class T>
struct JoinedRows {
  View<T, 4> out;         // [B, Hq, Lq, D]
  View<Accum<T>, 3> lse;  // [B, Hq, Lq]              natural log
  View<T, 4> weights;     // [B, Hq, Lq, Lk + extra], or no data; the first Lk are written
};

// scale · q · key of one extra key.
template <class T>
double extra_score(const ExtraKeysCall<T>& call, int e, Index b, Index h, Index i) {
  if (call.extra.key[e] == nullptr) return 0;
  const Index D = call.q.extent[3];
  const T* key = call.extra.key[e] + h / (call.q.extent[1] / call.Hkv) * D;
  double dot = 0;
  for (Index d = 0; d < D; ++d) {
    dot += static_cast<double>(call.q(b, h, i, d)) * static_cast<double>(key[d]);
  }
  return call.scale * dot;
}

// Factor of extra key e's weight: 1 without dropout, else 0 or 1 / (1 − p).
template <class T>
double extra_key_kept(const ExtraKeysCall<T>& call, int e, Index b, Index h, Index i) {
  const auto word = [](Index n) { return static_cast<std::uint32_t>(n); };
  const bool keeps =
      !call.dropout.active() || call.dropout.keeps(word(b), word(h), word(i), word(call.Lk + e));
  return keeps ? call.dropout.keep_scale : 0;
}

// One row's softmax over all keys.
template <class T>
struct JoinedSoftmax {
  static constexpr std::size_t most = ExtraKeys<T>::most;
  double share = 0;          // the weight of the caller's keys together
  double weight[most] = {};  // of the extra keys
  double lse = 0;
};

// The softmax of a row whose scores over the caller's keys have the log-sum-exp `lse`.
template <class T>
JoinedSoftmax<T> joined_softmax(const ExtraKeysCall<T>& call, Accum<T> lse, Index b, Index h,
                                Index i) {
  JoinedSoftmax<T> row;
  const int count = call.extra.count;
  const bool masked = is_masked(lse);
  double max = masked ? std::numeric_limits<double>::lowest() : static_cast<double>(lse);
  for (int e = 0; e < count; ++e) {
    row.weight[e] = extra_score(call, e, b, h, i);
    max = row.weight[e] > max ? row.weight[e] : max;
  }
  row.share = masked ? 0 : std::exp(static_cast<double>(lse) - max);
  double sum = row.share;
  for (int e = 0; e < count; ++e) sum += row.weight[e] = std::exp(row.weight[e] - max);
  row.lse = max + std::log(sum);
  row.share /= sum;
  for (int e = 0; e < count; ++e) row.weight[e] /= sum;
  return row;
}

// out = share · out + Σ weight · value of the extra keys, dropped as the call drops weights.
template <class T>
void add_extra_values(const ExtraKeysCall<T>& call, const JoinedSoftmax<T>& row,
                      const View<T, 4>& to, Index b, Index h, Index i) {
  const int count = call.extra.count;
  double kept[ExtraKeys<T>::most] = {};
  for (int e = 0; e < count; ++e) kept[e] = row.weight[e] * extra_key_kept(call, e, b, h, i);
  const Index D = to.extent[3], head = h / (call.q.extent[1] / call.Hkv) * D;
  for (Index d = 0; d < D; ++d) {
    T& out = to(b, h, i, d);
    double total = row.share * static_cast<double>(out);
    for (int e = 0; e < count; ++e) {
      if (call.extra.value[e] == nullptr) continue;
      total += kept[e] * static_cast<double>(call.extra.value[e][head + d]);
    }
    out = static_cast<T>(total);
  }
}

// Joins the extra keys to one row.
template <class T>
void add_extra_keys_to_row(const ExtraKeysCall<T>& call, const JoinedRows<T>& to, Index b, Index h,
                           Index i) {
  const JoinedSoftmax<T> row = joined_softmax(call, to.lse(b, h, i), b, h, i);
  to.lse(b, h, i) = static_cast<Accum<T>>(row.lse);
  add_extra_values(call, row, to.out, b, h, i);
  if (to.weights.data == nullptr) return;
  for (Index j = 0; j < call.Lk; ++j) {
    T& weight = to.weights(b, h, i, j);
    weight = static_cast<T>(row.share * static_cast<double>(weight));
  }
  for (int e = 0; e < call.extra.count; ++e) {
    to.weights(b, h, i, call.Lk + e) = static_cast<T>(row.weight[e]);
  }
}

// Joins the extra keys to every row. Time O(B·Hq·Lq·D), and ·Lk with weights; no scratch.
template <class T>
void add_extra_keys(const ExtraKeysCall<T>& call, const JoinedRows<T>& to, const Options& options) {
  const Index heads = to.out.extent[1], rows = to.out.extent[2];
  const Index tasks = checked_product(checked_product(to.out.extent[0], heads), rows);
  const int workers = worker_count(tasks, options.threads, options.executor);
  parallel_for(tasks, workers, options.executor, [&](Index task, int) {
    add_extra_keys_to_row(call, to, task / rows / heads, task / rows % heads, task % rows);
  });
}

// Weights [B, H, Lq, Lk] with room for `more` keys behind the others.
template <class T>
Tensor4<T> with_more_keys(const Tensor4<T>& weights, int more) {
  const Index Lk = weights.dimension(3);
  Tensor4<T> wider(weights.dimension(0), weights.dimension(1), weights.dimension(2), Lk + more);
  const Index rows = checked_size(
      View<T, 3>{nullptr, {weights.dimension(0), weights.dimension(1), weights.dimension(2)}, {}});
  for (Index row = 0; row < rows; ++row) {
    std::copy_n(weights.data() + row * Lk, Lk, wider.data() + row * (Lk + more));
  }
  return wider;
}

}  // namespace HEED_ABI
}  // namespace heed::nn
