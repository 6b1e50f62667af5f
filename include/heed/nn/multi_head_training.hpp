// Multi-head attention that learns: heed::attention_backward between the gradients of the
// projections. MultiHeadAttention, the user's page, calls it.
#pragma once

#include <utility>

#include "heed/attention/backward.hpp"
#include "heed/nn/gradients.hpp"
#include "heed/nn/multi_head_call.hpp"

namespace heed::nn {

// A forward_train call. No scores: backward computes them again.
template <class T>
struct MultiHeadSaved {
  Tensor3<T> query;       // [B, Lq, features]
  Tensor3<T> key, value;  // [B, Lk, …]; empty where the query is all three
  Tensor3<T> q;           // [B, Lq, heads · head_dim]
  Tensor3<T> k, v;        // [B, Lk, kv_heads · head_dim]
  Tensor3<T> context;     // [B, Lq, heads · head_dim]
  Tensor3<Accum<T>> lse;  // [B, heads, Lq]
  bool is_self = false;
  SavedDropout dropout;

  MultiHeadInputs<T> inputs() const {
    return {view_of(query), view_of(is_self ? query : key), view_of(is_self ? query : value)};
  }
};

// The same where one tensor was query, key and value.
template <class T>
struct SelfAttentionSaved {
  MultiHeadSaved<T> call;
};

// Of the three inputs of a call.
template <class T>
struct InputGradients {
  Tensor3<T> d_query;  // [B, Lq, features]
  Tensor3<T> d_key;    // [B, Lk, source_features]
  Tensor3<T> d_value;  // [B, Lk, value_features]
};

inline namespace HEED_ABI {

// The projections of a saved call, as attention wrote them.
template <class T>
Projected<T> projected(MultiHeadSaved<T>& saved) {
  return {mutable_view_of(saved.q),       mutable_view_of(saved.k),   mutable_view_of(saved.v),
          mutable_view_of(saved.context), mutable_view_of(saved.lse), 0};
}

// out [B, Lq, out_features] as parts.run writes it, and what backward needs.
template <class T, class M, class S>
MultiHeadSaved<T> multi_head_forward(const MultiHeadParts<T>& parts, const View<T, 3>& out,
                                     const MultiHeadInputs<T>& in, bool is_self, const M& mask,
                                     const S& score, const Options& call) {
  check_not_tensors<M, S>();
  check_trainable<T>();
  const MultiHeadAttentionOptions& options = parts.options;
  if (options.extra_keys() != 0) {
    throw Error(
        "heed::nn::MultiHeadAttention::forward_train: extra keys (add_bias_kv, add_zero_attn) have "
        "no gradients");
  }
  const auto [B, Lq, Lk] = in.lengths();
  MultiHeadSaved<T> saved{kept(in.query),
                          is_self ? Tensor3<T>() : kept(in.key),
                          is_self ? Tensor3<T>() : kept(in.value),
                          make_tensor3<T>(B, Lq, options.query_size()),
                          make_tensor3<T>(B, Lk, options.key_size()),
                          make_tensor3<T>(B, Lk, options.key_size()),
                          make_tensor3<T>(B, Lq, options.query_size()),
                          make_tensor3<Accum<T>>(B, options.heads, Lq),
                          is_self,
                          SavedDropout(call)};
  const Projected<T> p = projected(saved);
  affine_into(p.q, in.query, parts.input(0), call);
  affine_into(p.k, in.key, parts.input(1), call);
  affine_into(p.v, in.value, parts.input(2), call);
  attend_with_lse(p, options, token_mask(mask), token_score(score), parts.attention_options(call));
  if (options.output_projection) {
    affine_into(out, p.context.as_const(), parts.output.affine(), call);
  } else {
    copy_tokens(out, p.context.as_const());
  }
  return saved;
}

constexpr const char* multi_head_backward_name = "heed::nn::MultiHeadAttention::backward";

// Throws heed::Error for what another module saved, or its gradients.
template <class T>
void check_parts(const MultiHeadParts<T>& parts, const MultiHeadSaved<T>& saved,
                 const MultiHeadParts<T>& gradients) {
  constexpr const char* call = multi_head_backward_name;
  const auto part = [&](int n, const View<const T, 3>& x, const Tensor3<T>& projected) {
    const auto rows = parts.input_rows(n);
    check_saved(x, parts.inputs[rows.linear].in(), call);
    check_saved(view_of(projected), rows.count, call);
  };
  const MultiHeadInputs<T> in = saved.inputs();
  part(0, in.query, saved.q);
  part(1, in.key, saved.k);
  part(2, in.value, saved.v);
  require(gradients.inputs.size() == parts.inputs.size(), call,
          "the gradients are another module's",
          [&] { return "saved query " + to_string(view_of(saved.query)); });
}

// The gradient of what attention wrote.
template <class T>
Tensor3<T> context_gradient(const MultiHeadParts<T>& parts, const View<const T, 3>& dy,
                            const Options& options) {
  if (!parts.options.output_projection) return kept(dy);
  auto d_context = make_tensor3<T>(dy.extent[0], dy.extent[1], parts.options.query_size());
  input_gradient_into(mutable_view_of(d_context), dy, parts.output.affine(), options);
  return d_context;
}

// The gradient of input `part`, of projection d; adds to that projection's gradients.
template <class T>
Tensor3<T> projection_gradient(const MultiHeadParts<T>& parts, int part, const Tensor3<T>& d,
                               const View<const T, 3>& x, MultiHeadParts<T>& gradients,
                               const Options& options) {
  const auto rows = parts.input_rows(part);
  const auto gradient = gradients.inputs[rows.linear].gradient_rows(rows.first, rows.count,
                                                                    parts.inputs[rows.linear]);
  add_affine_gradient(gradient, view_of(d), x, options);
  auto dx = make_tensor3<T>(x.extent[0], x.extent[1], x.extent[2]);
  input_gradient_into(mutable_view_of(dx), view_of(d), parts.input(part), options);
  return dx;
}

// Of dy [B, Lq, out_features]; mask and score are those of the saved call.
template <class T, class M, class S>
InputGradients<T> multi_head_backward(const MultiHeadParts<T>& parts, const View<const T, 3>& dy,
                                      const MultiHeadSaved<T>& saved, MultiHeadParts<T>& gradients,
                                      const M& mask, const S& score, const Options& options) {
  const auto heads = [](const Tensor3<T>& x, Index count) {
    return swap_heads(split_heads(view_of(x), count));
  };
  const auto to_heads = [](Tensor3<T>& x, Index count) {
    return swap_heads(split_heads(mutable_view_of(x), count));
  };
  const Index Hq = parts.options.heads, Hkv = parts.options.kv_heads;
  check_parts(parts, saved, gradients);
  const auto d_context = context_gradient(parts, dy, options);
  auto d_q = make_tensor3<T>(saved.q.dimension(0), saved.q.dimension(1), saved.q.dimension(2));
  auto d_k = make_tensor3<T>(saved.k.dimension(0), saved.k.dimension(1), saved.k.dimension(2));
  auto d_v = d_k;
  attention_backward_into(
      Gradients{to_heads(d_q, Hq), to_heads(d_k, Hkv), to_heads(d_v, Hkv)}, heads(d_context, Hq),
      heads(saved.q, Hq), heads(saved.k, Hkv), heads(saved.v, Hkv),
      Result<View<const T, 4>, Tensor3<Accum<T>>>{heads(saved.context, Hq), saved.lse},
      token_mask(mask), token_score(score), parts.attention_options(saved.dropout.with(options)));
  if (parts.options.output_projection) {
    add_affine_gradient(gradients.output.gradient_rows(0, parts.output.out(), parts.output), dy,
                        view_of(saved.context), options);
  }
  const MultiHeadInputs<T> in = saved.inputs();
  return {projection_gradient(parts, 0, d_q, in.query, gradients, options),
          projection_gradient(parts, 1, d_k, in.key, gradients, options),
          projection_gradient(parts, 2, d_v, in.value, gradients, options)};
}

}  // namespace HEED_ABI
}  // namespace heed::nn
