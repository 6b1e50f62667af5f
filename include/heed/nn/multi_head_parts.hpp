// The parameters of a multi-head attention: its projections, and what its heads learn besides.
#pragma once

#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "heed/nn/extra_keys.hpp"
#include "heed/nn/output_gate.hpp"
#include "heed/nn/projected.hpp"
#include "heed/nn/query_key.hpp"
#include "heed/nn/round.hpp"
#include "heed/nn/token_mask.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

template <class T>
struct MultiHeadParts {
  MultiHeadAttentionOptions options;
  Index features;
  std::vector<Linear<T>> inputs;  // query, key, value; or all in one
  QueryKey<T> query_key;
  Linear<T> gate;  // no outputs without a gate
  Linear<T> output;
  Parameter<T> bias_key, bias_value;  // [kv_heads · head_dim], or [0] without
  Parameter<Accum<T>> sinks;          // [heads], or [0] without

  MultiHeadParts(MultiHeadAttentionOptions resolved, Index width)
      : options(std::move(resolved)),
        features(width),
        query_key(options),
        gate(width, options.gate_size(), options.bias),
        output(options.query_size(), options.output_projection ? features : 0, options.bias),
        bias_key(Parameter<T>::row(options.add_bias_kv ? options.key_size() : 0)),
        bias_value(bias_key),
        sinks(Parameter<Accum<T>>::constant(options.sinks ? options.heads : 0, 0)) {
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
    if (self.options.sinks) visit(prefix + "sinks", self.sinks);
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
            .sinks = std::span(sinks.value.data(), static_cast<std::size_t>(sinks.size())),
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
};

}  // namespace HEED_ABI
}  // namespace heed::nn
