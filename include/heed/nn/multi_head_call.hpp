// The weights of a multi-head attention and how they compute on views: what MultiHeadAttention,
// the user's page, calls.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "heed/attention/attention.hpp"
#include "heed/attention/row_weights.hpp"
#include "heed/nn/extra_keys.hpp"
#include "heed/nn/output_gate.hpp"
#include "heed/nn/projected.hpp"
#include "heed/nn/query_key.hpp"
#include "heed/nn/round.hpp"
#include "heed/nn/token_mask.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// The attention that a module computes by default. Another, for example on a GPU, is a
// callable of the same arguments: out, q, k, v [B, H, L, D], mask, score, options.
struct AttendHere {
  template <class Out, class Q, class K, class V, class M, class S>
  void operator()(Out&& out, const Q& q, const K& k, const V& v, const M& mask, const S& score,
                  const heed::Options& options) const {
    attention_into(out, q, k, v, mask, score, options);
  }
};

template <class T>
struct MultiHeadParts {
  MultiHeadAttentionOptions options;
  Index features;
  std::vector<Linear<T>> inputs;  // query, key, value; or all in one
  QueryKey<T> query_key;
  Linear<T> gate;  // no outputs without a gate
  Linear<T> output;
  Parameter<T> bias_key, bias_value;  // [kv_heads · head_dim], or [0] without

  MultiHeadParts(MultiHeadAttentionOptions resolved, Index width)
      : options(std::move(resolved)),
        features(width),
        query_key(options),
        gate(width, options.gate_size(), options.bias),
        output(options.query_size(), options.output_projection ? features : 0, options.bias),
        bias_key(Parameter<T>::row(options.add_bias_kv ? options.key_size() : 0)),
        bias_value(bias_key) {
    const Index query = options.query_size(), key = options.key_size();
    if (options.projection == Projection::fused) {
      inputs.emplace_back(features, query + 2 * key, options.bias);
      return;
    }
    inputs.emplace_back(features, query, options.bias);
    inputs.emplace_back(options.source_features, key, options.bias);
    inputs.emplace_back(options.value_features, key, options.bias);
  }

  Index out_features() const { return options.output_projection ? features : options.query_size(); }

  // Throws heed::Error where features, batches or lengths disagree.
  template <Tokens X, Tokens K, Tokens V>
  MultiHeadInputs<T> call(const char* name, const X& query, const K& key, const V& value) const {
    return check_inputs<T>(name, {tokens_of(query, features, name, "query"),
                                  tokens_of(key, options.source_features, name, "key"),
                                  tokens_of(value, options.value_features, name, "value")});
  }

  // Bytes of one call, at an aligned address.
  template <class M, class S>
  std::size_t scratch_bytes(const MultiHeadLengths& lengths, const M& mask, const S& score,
                            const Options& call) const {
    return Projected<T>::carve(nullptr, lengths, options).bytes +
           parts_bytes(lengths, mask, score, call);
  }

  template <class M, class S, class Attend>
  void run(const View<T, 3>& out, const MultiHeadInputs<T>& in, const M& mask, const S& score,
           const Options& call, const Attend& attend) const {
    check_not_tensors<M, S>();
    const Workspace room = workspace(in, mask, score, call);
    Projected<T> p = project(in, room);
    if (!options.output_projection) p.context = out;
    const auto q = split_heads(p.q, options.heads), k = split_heads(p.k, options.kv_heads);
    const auto v = split_heads(p.v, options.kv_heads), to = split_heads(p.context, options.heads);
    heed::Options how = attention_options(call);
    if constexpr (std::is_same_v<Attend, AttendHere>) how.workspace = room.parts().workspace;
    if (options.extra_keys() == 0) {
      attend(blhd(to), blhd(q), blhd(k), blhd(v), token_mask(mask), token_score(score), how);
    } else if constexpr (std::is_same_v<Attend, AttendHere>) {
      attend_and_extend(p, token_mask(mask), token_score(score), how, call);
    } else {
      throw Error(
          "heed::nn::MultiHeadAttention: extra keys (add_bias_kv, add_zero_attn) need the "
          "module's own way to attend");
    }
    apply_gate(p.context, p.gates, call);
    if (options.output_projection) {
      affine_into(out, p.context.as_const(), output.affine(), room.parts());
    }
  }

  // run, and the weights [B, heads, Lq, Lk + extra keys], after dropout.
  template <class M, class S>
  Tensor4<T> run_with_weights(const View<T, 3>& out, const MultiHeadInputs<T>& in, const M& mask,
                              const S& score, const Options& call) const {
    const Workspace room = workspace(in, mask, score, call);
    const Projected<T> p = project(in, room);
    const auto q = split_heads(p.q, options.heads), k = split_heads(p.k, options.kv_heads);
    const auto v = split_heads(p.v, options.kv_heads);
    const heed::Options how = attention_options(call);
    auto heads = chunked::attention(blhd(q), blhd(k), blhd(v), token_mask(mask), token_score(score),
                                    {.weights = true,
                                     .threads = how.threads,
                                     .executor = how.executor,
                                     .dropout = how.dropout,
                                     .seed = how.seed});
    if (options.extra_keys() != 0) {
      heads.weights = with_more_keys(heads.weights, options.extra_keys());
      extend(p, mutable_view_of(heads.lse), swap_heads(mutable_view_of(heads.out)),
             mutable_view_of(heads.weights), how, call);
    }
    drop_weights(mutable_view_of(heads.weights), Dropout::of(how.dropout, how.seed), call);
    const auto context =
        view(heads.out.data(), {out.extent[0], out.extent[1], options.query_size()});
    apply_gate(context, p.gates, call);
    if (options.output_projection) {
      affine_into(out, context.as_const(), output.affine(), room.parts());
    } else {
      copy_tokens(out, context.as_const());
    }
    return std::move(heads.weights);
  }

  // The weights [B, heads, rows, Lk] of some queries, before dropout.
  template <class Rows, class M, class S>
  Tensor4<T> row_weights(const MultiHeadInputs<T>& in, const Rows& rows, const M& mask,
                         const S& score, const Options& call) const {
    if (options.extra_keys() != 0) {
      throw Error(
          "heed::nn::MultiHeadAttention::attention_weights: not with extra keys "
          "(add_bias_kv, add_zero_attn); forward_with_weights has theirs");
    }
    const Workspace room = workspace(in, mask, score, call);
    const auto p = Projected<T>::carve(room.begin(), in.lengths(), options);
    affine_into(p.q, in.query, input(0), room.parts());
    affine_into(p.k, in.key, input(1), room.parts());
    query_key.apply(p.q, p.k, room.parts());
    const auto q = split_heads(p.q, options.heads), k = split_heads(p.k, options.kv_heads);
    return heed::attention_weights(blhd(q), blhd(k), rows, token_mask(mask), token_score(score),
                                   {.threads = call.threads, .executor = call.executor});
  }

  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    const bool fused = self.inputs.size() == 1;
    const std::vector<const char*> names =
        fused ? std::vector{"qkv."} : std::vector{"query.", "key.", "value."};
    for (std::size_t n = 0; n < names.size(); ++n) {
      nn::each_parameter(self.inputs[n], visit, prefix + names[n]);
    }
    nn::each_parameter(self.query_key, visit, prefix);
    if (self.options.gate != OutputGate::none) {
      nn::each_parameter(self.gate, visit, prefix + "gate.");
    }
    if (self.options.output_projection) {
      nn::each_parameter(self.output, visit, prefix + "output.");
    }
    if (!self.options.add_bias_kv) return;
    visit(prefix + "bias_key", self.bias_key);
    visit(prefix + "bias_value", self.bias_value);
  }

  // Where the projection to queries (0), keys (1) or values (2) stands: rows of a linear map.
  struct InputRows {
    std::size_t linear;
    Index first, count;
  };
  InputRows input_rows(int part) const {
    const Index count = part == 0 ? options.query_size() : options.key_size();
    if (inputs.size() == 3) return {static_cast<std::size_t>(part), 0, count};
    return {0, part == 0 ? 0 : options.query_size() + (part - 1) * options.key_size(), count};
  }
  Affine<T> input(int part) const {
    const InputRows rows = input_rows(part);
    return inputs[rows.linear].rows(rows.first, rows.count);
  }

  heed::Options attention_options(const Options& call) const {
    return {.threads = call.threads,
            .executor = call.executor,
            .dropout = call.mode == Mode::train ? options.dropout : 0,
            .seed = call.seed,
            .compute = call.compute};
  }

  // Writes what attention and its gate read: packed q, k, v and gates.
  void project_into(const Projected<T>& p, const MultiHeadInputs<T>& in,
                    const Options& call) const {
    affine_into(p.q, in.query, input(0), call);
    affine_into(p.k, in.key, input(1), call);
    affine_into(p.v, in.value, input(2), call);
    round_tokens(p.v, call);
    if (options.gate == OutputGate::none) return;
    affine_into(p.gates, in.query, gate.affine(), call);
    sigmoid_tokens(p.gates, call);
  }

  // Joins the extra keys to what attention gave.
  void extend(const Projected<T>& p, const View<Accum<T>, 3>& lse, const View<T, 4>& out,
              const View<T, 4>& weights, const heed::Options& how, const Options& call) const {
    ExtraKeys<T> extra;
    if (options.add_bias_kv) extra.add(bias_key.value.data(), bias_value.value.data());
    if (options.add_zero_attn) extra.add(nullptr, nullptr);
    const auto q = swap_heads(split_heads(p.q, options.heads)).as_const();
    add_extra_keys<T>(
        {extra, q, options.kv_heads, p.k.extent[1], scale(), Dropout::of(how.dropout, how.seed)},
        {out, lse, weights}, call);
  }

  double scale() const { return 1 / std::sqrt(static_cast<double>(options.head_dim)); }

  // Attention that keeps the lse, then the extra keys.
  template <class M, class S>
  void attend_and_extend(const Projected<T>& p, const M& mask, const S& score,
                         const heed::Options& how, const Options& call) const {
    attend_with_lse(p, options, mask, score, how);
    if (options.extra_keys() == 0) return;
    const auto out = swap_heads(split_heads(p.context, options.heads));
    extend(p, p.lse, out, {nullptr, {}, {}}, how, call);
  }

 private:
  // The most that a projection or attention needs.
  template <class M, class S>
  std::size_t parts_bytes(const MultiHeadLengths& lengths, const M& mask, const S& score,
                          const Options& call) const {
    const Index queries = checked_product(lengths.B, lengths.Lq);
    const Index keys = checked_product(lengths.B, lengths.Lk);
    return std::max({AffineScratch<T>(queries, input(0), call).bytes,
                     AffineScratch<T>(keys, input(1), call).bytes,
                     AffineScratch<T>(keys, input(2), call).bytes,
                     attention_scratch_bytes<T>(lengths, options, token_mask(mask),
                                                token_score(score), attention_options(call)),
                     query_key.scratch_bytes(queries, keys, call),
                     gate.scratch_bytes(queries, call), output.scratch_bytes(queries, call)});
  }

  template <class M, class S>
  Workspace workspace(const MultiHeadInputs<T>& in, const M& mask, const S& score,
                      const Options& call) const {
    return {Projected<T>::carve(nullptr, in.lengths(), options).bytes,
            parts_bytes(in.lengths(), mask, score, call), call};
  }

  Projected<T> project(const MultiHeadInputs<T>& in, const Workspace& room) const {
    const auto p = Projected<T>::carve(room.begin(), in.lengths(), options);
    project_into(p, in, room.parts());
    query_key.apply(p.q, p.k, room.parts());
    return p;
  }

  void apply_gate(const View<T, 3>& context, const View<T, 3>& gates, const Options& call) const {
    if (options.gate == OutputGate::none) return;
    gate_into(context, context.as_const(), gates.as_const(), call);
  }
};

}  // namespace HEED_ABI
}  // namespace heed::nn
