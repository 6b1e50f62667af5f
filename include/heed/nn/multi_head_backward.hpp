// The gradients of multi-head attention: heed::attention_backward between those of the projections.
#pragma once

#include <optional>
#include <span>
#include <utility>

#include "heed/attention/backward.hpp"
#include "heed/nn/extra_keys_gradient.hpp"
#include "heed/nn/multi_head_training.hpp"

namespace heed::nn {

// Of the three inputs of a call.
template <class T>
struct InputGradients {
  Tensor3<T> d_query;  // [B, Lq, features]
  Tensor3<T> d_key;    // [B, Lk, source_features]
  Tensor3<T> d_value;  // [B, Lk, value_features]
};

inline namespace HEED_ABI {

constexpr const char* multi_head_backward_name = "heed::nn::MultiHeadAttention::backward";

// Throws heed::Error for what another module saved, or its gradients.
template <class T>
void check_parts(const MultiHeadParts<T>& parts, const MultiHeadSaved<T>& saved,
                 const MultiHeadParts<T>& gradients) {
  constexpr const char* call = multi_head_backward_name;
  const MultiHeadInputs<T> in = saved.inputs();
  const View<const T, 3> of[] = {in.query, in.key, in.value};
  for (int n = 0; n < 3; ++n) {
    const auto rows = parts.input_rows(n);
    check_saved(of[n], parts.inputs[rows.linear].in(), call);
    if (!saved.activations) continue;
    const auto& a = *saved.activations;
    check_saved(view_of(n == 0 ? a.q : n == 1 ? a.k : a.v), rows.count, call);
  }
  const auto name = [&] { return "saved query " + to_string(in.query); };
  if (saved.activations && saved.activations->q.size() != 0) {
    const auto& a = *saved.activations;
    const bool same = a.gates.dimension(2) == parts.options.gate_size() &&
                      (a.raw_q.size() != 0) == parts.query_key.normalises();
    require(same, call, "saved is another module's", name);
  }
  const bool same = gradients.inputs.size() == parts.inputs.size() &&
                    gradients.query_key.matches(parts.query_key) &&
                    gradients.gate.out() == parts.gate.out() &&
                    gradients.bias_key.size() == parts.bias_key.size() &&
                    gradients.sinks.size() == parts.sinks.size();
  require(same, call, "the gradients are another module's", name);
}

// The gradient of context, of dy; adds to those of the output projection. d_gates is written where
// there is a gate.
template <class T>
Tensor3<T> context_gradient(const MultiHeadParts<T>& parts, const View<const T, 3>& dy,
                            const MultiHeadActivations<T>& a, const View<T, 3>& d_gates,
                            MultiHeadParts<T>& gradients, const Options& options) {
  Tensor3<T> d;
  if (parts.options.output_projection) {
    const auto gradient = gradients.output.gradient_rows(0, parts.output.out(), parts.output);
    Tensor3<T> room;
    add_affine_gradient(gradient, dy, view_of(gated_context(parts, a, room, options)), options);
    d = make_tensor3<T>(dy.extent[0], dy.extent[1], parts.options.query_size());
    input_gradient_into(mutable_view_of(d), dy, parts.output.affine(), options);
  } else {
    d = kept(dy);
  }
  if (parts.options.gate != OutputGate::none) {
    gate_gradient(mutable_view_of(d), d_gates, view_of(a.context), view_of(a.gates), options);
  }
  return d;
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

// [B, H, L, D] of [B, L, H · D]: the same memory.
template <class T>
View<const T, 4> heads_of(const Tensor3<T>& x, Index count) {
  return swap_heads(split_heads(view_of(x), count));
}
template <class T>
View<T, 4> heads_of(Tensor3<T>& x, Index count) {
  return swap_heads(split_heads(mutable_view_of(x), count));
}

// d_q, d_k and d_v of d_context, as attention was given q, k and v; adds to the gradients of the
// learned extra key and of the sinks.
template <class T, class M, class S>
void attend_backward(const MultiHeadParts<T>& parts, const MultiHeadActivations<T>& a,
                     const Tensor3<T>& d_context, Tensor3<T>& d_q, Tensor3<T>& d_k, Tensor3<T>& d_v,
                     MultiHeadParts<T>& gradients, const M& mask, const S& score,
                     const Options& options) {
  const Index Hq = parts.options.heads, Hkv = parts.options.kv_heads;
  heed::Options how = parts.attention_options(options);
  Matrix<Accum<T>> d_sinks = gradients.sinks.value;  // written below, not added to
  how.d_sinks = std::span(d_sinks.data(), static_cast<std::size_t>(d_sinks.size()));
  attention_backward_into(
      Gradients{heads_of(d_q, Hq), heads_of(d_k, Hkv), heads_of(d_v, Hkv)}, heads_of(d_context, Hq),
      heads_of(a.q, Hq), heads_of(a.k, Hkv), heads_of(a.v, Hkv),
      Result<View<const T, 4>, Tensor3<Accum<T>>>{heads_of(a.context, Hq), a.lse}, token_mask(mask),
      token_score(score), how);
  gradients.sinks.value += d_sinks;
  if (!parts.options.add_bias_kv) return;
  ExtraKeys<T> extra;
  extra.add(parts.bias_key.value.data(), parts.bias_value.value.data());
  add_extra_key_gradients<T>({.call = {extra, heads_of(a.q, Hq), Hkv, a.k.dimension(1),
                                       parts.scale(), Dropout::of(how.dropout, how.seed)},
                              .out = heads_of(a.context, Hq),
                              .lse = view_of(a.lse),
                              .d_out = heads_of(d_context, Hq),
                              .d_q = heads_of(d_q, Hq),
                              .d_key = gradients.bias_key.value.data(),
                              .d_value = gradients.bias_value.value.data()},
                             options);
}

// Of dy [B, Lq, out_features]; mask and score are those of the saved call.
template <class T, class M, class S>
InputGradients<T> multi_head_backward(const MultiHeadParts<T>& parts, const View<const T, 3>& dy,
                                      const MultiHeadSaved<T>& saved, MultiHeadParts<T>& gradients,
                                      const M& mask, const S& score, const Options& options) {
  check_parts(parts, saved, gradients);
  const MultiHeadInputs<T> in = saved.inputs();
  Options replayed = saved.dropout.with(options);
  replayed.workspace = {};
  std::optional<MultiHeadActivations<T>> again;
  if (!saved.activations) again = multi_head_attend(parts, in, mask, score, replayed);
  const MultiHeadActivations<T>& a = saved.activations ? *saved.activations : *again;
  auto d_gates = make_tensor3<T>(in.lengths().B, in.lengths().Lq, parts.options.gate_size());
  auto d_context = context_gradient(parts, dy, a, mutable_view_of(d_gates), gradients, options);
  // Rounded here, else rows of dS would not sum to 0: delta is made of what the products read.
  round_tokens(mutable_view_of(d_context), options);
  Tensor3<T> d_q(a.q.dimensions()), d_k(a.k.dimensions()), d_v(a.v.dimensions());
  attend_backward(parts, a, d_context, d_q, d_k, d_v, gradients, mask, score, replayed);
  d_context = Tensor3<T>();  // each gradient is freed where the next one needs its memory
  parts.query_key.backward(mutable_view_of(d_q), mutable_view_of(d_k), a.raw_q, a.raw_k,
                           gradients.query_key, options);
  InputGradients<T> d;
  d.d_query = projection_gradient(parts, 0, d_q, in.query, gradients, options);
  d_q = Tensor3<T>();
  d.d_key = projection_gradient(parts, 1, d_k, in.key, gradients, options);
  d_k = Tensor3<T>();
  d.d_value = projection_gradient(parts, 2, d_v, in.value, gradients, options);
  if (parts.options.gate == OutputGate::none) return d;
  auto of_gate = make_tensor3<T>(in.query.extent[0], in.query.extent[1], in.query.extent[2]);
  parts.gate.backward_into(mutable_view_of(of_gate), view_of(d_gates), in.query, gradients.gate,
                           options);
  add_into(mutable_view_of(d.d_query), view_of(of_gate));
  return d;
}

}  // namespace HEED_ABI
}  // namespace heed::nn
