// The tensors between the projections of a multi-head attention, and the bytes that one call needs.
//
// No head is ever transposed or copied: q, k and v are strided slices of what the projections
// wrote, and attention writes its result where the last projection reads it.
#pragma once

#include "heed/attention/attention.hpp"
#include "heed/nn/multi_head_options.hpp"
#include "heed/nn/workspace.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

struct MultiHeadLengths {
  Index B, Lq, Lk;
};

// The inputs of one call.
template <class T>
struct MultiHeadInputs {
  View<const T, 3> query;  // [B, Lq, features]
  View<const T, 3> key;    // [B, Lk, source_features]
  View<const T, 3> value;  // [B, Lk, value_features]

  MultiHeadLengths lengths() const { return {query.extent[0], query.extent[1], key.extent[1]}; }
};

template <class T>
struct Projected {
  View<T, 3> q;           // [B, Lq, heads · head_dim]
  View<T, 3> k, v;        // [B, Lk, kv_heads · head_dim]
  View<T, 3> context;     // [B, Lq, heads · head_dim]; empty where attention writes the output
  View<T, 3> gates;       // [B, Lq, heads · head_dim], or [B, Lq, heads]; empty without a gate
  View<Accum<T>, 3> lse;  // [B, heads, Lq]; empty without extra keys
  std::size_t bytes;

  static Projected carve(std::byte* begin, const MultiHeadLengths& lengths,
                         const MultiHeadAttentionOptions& options) {
    const auto& [B, Lq, Lk] = lengths;
    Carver carver(begin);
    Projected to{};
    to.q = carve_tokens<T>(carver, B, Lq, options.query_size());
    to.k = carve_tokens<T>(carver, B, Lk, options.key_size());
    to.v = carve_tokens<T>(carver, B, Lk, options.key_size());
    to.context =
        carve_tokens<T>(carver, B, Lq, options.output_projection ? options.query_size() : 0);
    to.gates = carve_tokens<T>(carver, B, options.gate_size() == 0 ? 0 : Lq, options.gate_size());
    to.lse = carve_tokens<Accum<T>>(carver, B, options.extra_keys() == 0 ? 0 : options.heads, Lq);
    to.bytes = carver.used();
    return to;
  }
};

// The inputs. Throws heed::Error where their batches or lengths disagree.
template <class T>
MultiHeadInputs<T> check_inputs(const char* name, const MultiHeadInputs<T>& in) {
  const auto shapes = [&] {
    return "query " + to_string(in.query) + ", key " + to_string(in.key) + ", value " +
           to_string(in.value);
  };
  require_equal(in.key.extent[0], in.query.extent[0], "key has batch", "query has batch", name,
                shapes);
  require_equal(in.value.extent[0], in.query.extent[0], "value has batch", "query has batch", name,
                shapes);
  require_equal(in.value.extent[1], in.key.extent[1], "value has length", "key has length", name,
                shapes);
  return in;
}

// heed::attention of the projections into context and lse, both written.
template <class T, class M, class S>
void attend_with_lse(const Projected<T>& p, const MultiHeadAttentionOptions& options, const M& mask,
                     const S& score, const heed::Options& how) {
  const auto q = swap_heads(split_heads(p.q, options.heads)).as_const();
  const auto k = swap_heads(split_heads(p.k, options.kv_heads)).as_const();
  const auto v = swap_heads(split_heads(p.v, options.kv_heads)).as_const();
  const auto& the_mask = as_mask(mask);
  const auto& the_score = as_score(score);
  const Shape shape = check_call("heed::nn::MultiHeadAttention", q, k, v, the_mask, the_score, how);
  auto problem = make_problem(q, k, v, shape, how);
  problem.out = swap_heads(split_heads(p.context, options.heads));
  problem.lse = p.lse;
  heed::run(problem, the_mask, the_score, how);
}

// Bytes of attention's own scratch over q, k and v of a Projected.
template <class T, class M, class S>
std::size_t attention_scratch_bytes(const MultiHeadLengths& lengths,
                                    const MultiHeadAttentionOptions& options, const M& mask,
                                    const S& score, const heed::Options& call) {
  static constexpr T nowhere{};  // sizes are asked for, nothing is read
  const auto heads = [&](Index L, Index count) {
    return split_heads(view(&nowhere, {lengths.B, L, count * options.head_dim}), count);
  };
  const auto q = heads(lengths.Lq, options.heads), k = heads(lengths.Lk, options.kv_heads);
  return heed::workspace_bytes(blhd(q), blhd(k), blhd(k), mask, score, call);
}

}  // namespace HEED_ABI
}  // namespace heed::nn
