// Multi-head attention that keeps what its gradients need. MultiHeadAttention, the user's page,
// calls it; multi_head_backward.hpp reads what it kept.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "heed/nn/gradients.hpp"
#include "heed/nn/multi_head_call.hpp"

namespace heed::nn {

// The tensors between the projections of a call that is trained. No scores: backward computes them
// again.
template <class T>
struct MultiHeadActivations {
  Tensor3<T> raw_q, raw_k;  // q and k before their norm; empty without one
  Tensor3<T> q;             // [B, Lq, heads · head_dim]
  Tensor3<T> k, v;          // [B, Lk, kv_heads · head_dim]
  Tensor3<T> context;       // [B, Lq, heads · head_dim], before the gate
  Tensor3<T> gates;         // [B, Lq, heads · head_dim or heads]; empty without a gate
  Tensor3<Accum<T>> lse;    // [B, heads, Lq]
};

// A forward_train call.
template <class T>
struct MultiHeadSaved {
  Tensor3<T> query;       // [B, Lq, features]
  Tensor3<T> key, value;  // [B, Lk, …]; not kept where they are the query, or the value the key
  bool is_self = false, value_is_key = false;
  SavedDropout dropout;
  std::optional<MultiHeadActivations<T>> activations = {};  // none of a checkpointed call

  MultiHeadInputs<T> inputs() const {
    const View<const T, 3> from = view_of(is_self ? query : key);
    return {view_of(query), from, is_self || value_is_key ? from : view_of(value)};
  }
};

// The same where one tensor was query, key and value.
template <class T>
struct SelfAttentionSaved {
  MultiHeadSaved<T> call;
};

inline namespace HEED_ABI {

// The tensors that backward's products read, and nothing else does.
template <class T>
std::vector<Tensor3<T>*> operands_of(MultiHeadSaved<T>& saved) {
  std::vector<Tensor3<T>*> operands{&saved.query, &saved.key, &saved.value};
  if (!saved.activations) return operands;
  for (Tensor3<T>* x : {&saved.activations->q, &saved.activations->k, &saved.activations->v}) {
    operands.push_back(x);
  }
  return operands;
}

// Attention of the projected inputs; all but the output projection.
template <class T, class M, class S>
MultiHeadActivations<T> multi_head_attend(const MultiHeadParts<T>& parts,
                                          const MultiHeadInputs<T>& in, const M& mask,
                                          const S& score, const Options& call) {
  const MultiHeadAttentionOptions& options = parts.options;
  const auto [B, Lq, Lk] = in.lengths();
  MultiHeadActivations<T> a{{},
                            {},
                            make_tensor3<T>(B, Lq, options.query_size()),
                            make_tensor3<T>(B, Lk, options.key_size()),
                            make_tensor3<T>(B, Lk, options.key_size()),
                            make_tensor3<T>(B, Lq, options.query_size()),
                            make_tensor3<T>(B, Lq, options.gate_size()),
                            make_tensor3<Accum<T>>(B, options.heads, Lq)};
  const Projected<T> p{mutable_view_of(a.q),
                       mutable_view_of(a.k),
                       mutable_view_of(a.v),
                       mutable_view_of(a.context),
                       mutable_view_of(a.gates),
                       mutable_view_of(a.lse),
                       0};
  parts.project_into(p, in, call);
  if (parts.query_key.normalises()) {
    a.raw_q = a.q;
    a.raw_k = a.k;
  }
  parts.query_key.apply(p.q, p.k, call);
  parts.attend_and_extend(p, token_mask(mask), token_score(score), parts.attention_options(call),
                          call);
  return a;
}

// The context behind its gate, which the output projection reads; `room` holds it where it is not
// the context itself.
template <class T>
const Tensor3<T>& gated_context(const MultiHeadParts<T>& parts, const MultiHeadActivations<T>& a,
                                Tensor3<T>& room, const Options& call) {
  if (parts.options.gate == OutputGate::none) return a.context;
  room.resize(a.context.dimensions());
  gate_into(mutable_view_of(room), view_of(a.context), view_of(a.gates), call);
  return room;
}

// out [B, Lq, out_features] as multi_head_run writes it, and what backward needs; query, which is
// in.query packed, becomes a part of it.
template <class T, class M, class S>
MultiHeadSaved<T> multi_head_forward(const MultiHeadParts<T>& parts, const View<T, 3>& out,
                                     const MultiHeadInputs<T>& in, Tensor3<T>&& query, bool is_self,
                                     const M& mask, const S& score, const Options& call) {
  check_not_tensors<M, S>();
  check_trainable<T>();
  Options own = call;
  own.workspace = {};
  auto a = multi_head_attend(parts, in, mask, score, own);
  Tensor3<T> room;
  const Tensor3<T>& context = gated_context(parts, a, room, own);
  if (parts.options.output_projection) {
    affine_into(out, view_of(context), parts.output.affine(), own);
  } else {
    copy_tokens(out, view_of(context));
  }
  const bool value_is_key = !is_self && same_view(in.value, in.key);
  MultiHeadSaved<T> saved{std::move(query),
                          is_self ? Tensor3<T>() : kept(in.key),
                          is_self || value_is_key ? Tensor3<T>() : kept(in.value),
                          is_self,
                          value_is_key,
                          SavedDropout(call)};
  if (!parts.options.checkpoint) saved.activations = std::move(a);
  return saved;
}

}  // namespace HEED_ABI
}  // namespace heed::nn
