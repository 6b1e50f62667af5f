// The calls of a multi-head attention on views, which MultiHeadAttention, the user's page, makes.
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "heed/attention/attention.hpp"
#include "heed/attention/row_weights.hpp"
#include "heed/nn/branches.hpp"
#include "heed/nn/multi_head_parts.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// The attention that a module computes by default. Another, for example on a GPU, is a
// callable of the same arguments: out, q, k, v [B, H, L, D], mask, score, options; it may say where
// the tokens of self-attention stand: positions(B, L).
struct AttendHere {
  template <class Out, class Q, class K, class V, class M, class S>
  void operator()(Out&& out, const Q& q, const K& k, const V& v, const M& mask, const S& score,
                  const heed::Options& options) const {
    attention_into(out, q, k, v, mask, score, options);
  }
};

// A way to attend behind earlier tokens (AttendCache), of which it knows the positions.
template <class A>
concept AttendsBehind = requires(const A& attend, Index n) {
  attend.positions(n, n);
};

// The mask or score that attention's scratch is counted for: none where a caller's way to attend
// has memory of its own.
template <class None, class Attend, class X>
decltype(auto) counted(const Attend&, const X& x) {
  if constexpr (std::is_same_v<Attend, AttendHere>) {
    return (x);
  } else {
    return None{};
  }
}

// The memory of one call of a module: its own tensors, and the most that a projection or attention
// needs.
struct MultiHeadBytes {
  std::size_t own, parts;
};
template <class T, class M, class S>
MultiHeadBytes multi_head_bytes(const MultiHeadParts<T>& parts, const MultiHeadLengths& lengths,
                                const M& mask, const S& score, const Options& call) {
  const Index queries = checked_product(lengths.B, lengths.Lq);
  const Index keys = checked_product(lengths.B, lengths.Lk);
  const auto affine = [&](Index tokens, int part) {
    return AffineScratch<T>(tokens, parts.input(part), call).bytes;
  };
  return {Projected<T>::carve(nullptr, lengths, parts.options).bytes,
          std::max({affine(queries, 0), affine(keys, 1), affine(keys, 2),
                    attention_scratch_bytes<T>(lengths, parts.options, token_mask(mask),
                                               token_score(score), parts.attention_options(call)),
                    parts.query_key.scratch_bytes(queries, keys, call),
                    parts.gate.scratch_bytes(queries, call),
                    parts.output.scratch_bytes(queries, call)})};
}

template <class T, class M, class S>
Workspace multi_head_workspace(const MultiHeadParts<T>& parts, const MultiHeadInputs<T>& in,
                               const M& mask, const S& score, const Options& call) {
  const MultiHeadBytes bytes = multi_head_bytes(parts, in.lengths(), mask, score, call);
  return {bytes.own, bytes.parts, call};
}

template <class T>
Projected<T> multi_head_project(const MultiHeadParts<T>& parts, const MultiHeadInputs<T>& in,
                                const Workspace& room, std::span<const Index> positions = {}) {
  const auto p = Projected<T>::carve(room.begin(), in.lengths(), parts.options);
  parts.project_into(p, in, room.parts());
  parts.query_key.apply(p.q, p.k, room.parts(), positions);
  return p;
}

// out [B, Lq, out_features] of the heads' results in p.context, which may be out itself.
template <class T>
void multi_head_finish(const MultiHeadParts<T>& parts, const View<T, 3>& out, const Projected<T>& p,
                       const Workspace& room) {
  if (parts.options.gate != OutputGate::none) {
    gate_into(p.context, p.context.as_const(), p.gates.as_const(), room.parts());
  }
  if (parts.options.output_projection) {
    affine_into(out, p.context.as_const(), parts.output.affine(), room.parts());
  } else if (!same_view(p.context.as_const(), out.as_const())) {
    copy_tokens(out, p.context.as_const());
  }
}

template <class T, class M, class S, class Attend>
void multi_head_run(const MultiHeadParts<T>& parts, const View<T, 3>& out,
                    const MultiHeadInputs<T>& in, const M& mask, const S& score,
                    const Options& call, const Attend& attend) {
  check_not_tensors<M, S>();
  const MultiHeadAttentionOptions& options = parts.options;
  const Workspace room = multi_head_workspace(parts, in, counted<mask::None>(attend, mask),
                                              counted<score::None>(attend, score), call);
  std::vector<Index> positions;
  if constexpr (AttendsBehind<Attend>) {
    if (!same_view(in.query, in.key) || !same_view(in.query, in.value)) {
      refuse(
          {"heed::nn::MultiHeadAttention: tokens behind a cache attend to themselves, and query ",
           to_string(in.query), ", key ", to_string(in.key), " and value ", to_string(in.value),
           " are not one tensor"});
    }
    const auto lengths = in.lengths();
    if (options.rope) {
      refuse_branches("heed::nn::MultiHeadAttention", mask);
      positions = attend.positions(lengths.B, lengths.Lq);
    }
  }
  Projected<T> p = multi_head_project(parts, in, room, positions);
  if (!options.output_projection) p.context = out;
  const auto q = split_heads(p.q, options.heads), k = split_heads(p.k, options.kv_heads);
  const auto v = split_heads(p.v, options.kv_heads), to = split_heads(p.context, options.heads);
  heed::Options how = parts.attention_options(call);
  if constexpr (std::is_same_v<Attend, AttendHere>) how.workspace = room.parts().workspace;
  if (options.extra_keys() == 0) {
    attend(blhd(to), blhd(q), blhd(k), blhd(v), token_mask(mask), token_score(score), how);
  } else if constexpr (std::is_same_v<Attend, AttendHere>) {
    parts.attend_and_extend(p, token_mask(mask), token_score(score), how, call);
  } else {
    throw Error(
        "heed::nn::MultiHeadAttention: extra keys (add_bias_kv, add_zero_attn) need the "
        "module's own way to attend");
  }
  multi_head_finish(parts, out, p, room);
}

// multi_head_run, and the weights [B, heads, Lq, Lk + extra keys], after dropout.
template <class T, class M, class S>
Tensor4<T> multi_head_run_with_weights(const MultiHeadParts<T>& parts, const View<T, 3>& out,
                                       const MultiHeadInputs<T>& in, const M& mask, const S& score,
                                       const Options& call) {
  const MultiHeadAttentionOptions& options = parts.options;
  const Workspace room = multi_head_workspace(parts, in, mask, score, call);
  Projected<T> p = multi_head_project(parts, in, room);
  const auto q = split_heads(p.q, options.heads), k = split_heads(p.k, options.kv_heads);
  const auto v = split_heads(p.v, options.kv_heads);
  const heed::Options how = parts.attention_options(call);
  auto heads = chunked::attention(blhd(q), blhd(k), blhd(v), token_mask(mask), token_score(score),
                                  {.weights = true,
                                   .threads = how.threads,
                                   .executor = how.executor,
                                   .dropout = how.dropout,
                                   .seed = how.seed,
                                   .sinks = how.sinks});
  if (options.extra_keys() != 0) {
    heads.weights = with_more_keys(heads.weights, options.extra_keys());
    parts.extend(p, mutable_view_of(heads.lse), swap_heads(mutable_view_of(heads.out)),
                 mutable_view_of(heads.weights), how, call);
  }
  drop_weights(mutable_view_of(heads.weights), Dropout::of(how.dropout, how.seed), call);
  p.context = view(heads.out.data(), {out.extent[0], out.extent[1], options.query_size()});
  multi_head_finish(parts, out, p, room);
  return std::move(heads.weights);
}

// The weights [B, heads, rows, Lk] of some queries, before dropout.
template <class T, class Rows, class M, class S>
Tensor4<T> multi_head_row_weights(const MultiHeadParts<T>& parts, const MultiHeadInputs<T>& in,
                                  const Rows& rows, const M& mask, const S& score,
                                  const Options& call) {
  const MultiHeadAttentionOptions& options = parts.options;
  if (options.extra_keys() != 0) {
    throw Error(
        "heed::nn::MultiHeadAttention::attention_weights: not with extra keys "
        "(add_bias_kv, add_zero_attn); forward_with_weights has theirs");
  }
  const Workspace room = multi_head_workspace(parts, in, mask, score, call);
  const auto p = Projected<T>::carve(room.begin(), in.lengths(), options);
  affine_into(p.q, in.query, parts.input(0), room.parts());
  affine_into(p.k, in.key, parts.input(1), room.parts());
  parts.query_key.apply(p.q, p.k, room.parts());
  const auto q = split_heads(p.q, options.heads), k = split_heads(p.k, options.kv_heads);
  return heed::attention_weights(blhd(q), blhd(k), rows, token_mask(mask), token_score(score),
                                 {.threads = call.threads,
                                  .executor = call.executor,
                                  .sinks = parts.attention_options(call).sinks});
}

}  // namespace HEED_ABI
}  // namespace heed::nn
