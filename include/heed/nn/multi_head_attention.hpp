// Queries, keys and values by projection, attention head by head, and a projection back.
// Vaswani et al., "Attention Is All You Need" (2017), section 3.2.2.
//
// No head is ever transposed or copied: q, k and v are strided slices of what the projections
// wrote, and attention writes its result where the last projection reads it.
#pragma once

#include <string>
#include <vector>

#include "heed/attention/attention.hpp"
#include "heed/nn/linear.hpp"
#include "heed/nn/multi_head_options.hpp"

namespace heed::nn {

// How a module computes attention where nothing else is said. Another, for example on a GPU, is a
// callable of the same arguments: out, q, k, v [B, H, L, D], mask, score, options.
struct AttendHere {
  template <class Out, class Q, class K, class V, class M, class S>
  void operator()(Out&& out, const Q& q, const K& k, const V& v, const M& mask, const S& score,
                  const heed::Options& options) const {
    attention_into(out, q, k, v, mask, score, options);
  }
};

template <class Out, class T>
struct AttentionWithWeights {
  Out out;             // [B, Lq, features]
  Tensor4<T> weights;  // [B, heads, Lq, Lk]  before dropout; rows sum to 1
};

inline namespace HEED_ABI {

// The options with every 0 filled in. Throws heed::Error, with the numbers, where they do not fit.
inline MultiHeadAttentionOptions resolve(MultiHeadAttentionOptions options, Index features) {
  const auto refuse = [&](const std::string& text) {
    throw Error("heed::nn::MultiHeadAttention: " + text);
  };
  const auto number = [](Index n) { return std::to_string(n); };
  if (features < 1) refuse(number(features) + " features");
  if (options.heads < 1) refuse(number(options.heads) + " heads");
  if (options.kv_heads == 0) options.kv_heads = options.heads;
  if (options.kv_heads < 0 || options.heads % options.kv_heads != 0) {
    refuse(number(options.heads) + " heads do not divide among " + number(options.kv_heads) +
           " key heads");
  }
  if (options.head_dim == 0 && features % options.heads != 0) {
    refuse(number(features) + " features do not divide among " + number(options.heads) + " heads");
  }
  if (options.head_dim == 0) options.head_dim = features / options.heads;
  if (options.head_dim < 0) refuse("head_dim " + number(options.head_dim));
  if (options.source_features == 0) options.source_features = features;
  if (options.projection == Projection::fused && options.source_features != features) {
    refuse("a fused projection takes one input, but queries have " + number(features) +
           " features and keys " + number(options.source_features));
  }
  check_options("heed::nn::MultiHeadAttention", {.dropout = options.dropout});
  return options;
}

}  // namespace HEED_ABI

template <class T>
class MultiHeadAttention {
 public:
  // Throws heed::Error where the features do not divide among the heads.
  explicit MultiHeadAttention(Index features, const MultiHeadAttentionOptions& options = {})
      : options_(resolve(options, features)),
        features_(features),
        output_(query_size(), options_.output_projection ? features : 0, options_.bias) {
    if (options_.projection == Projection::fused) {
      inputs_.emplace_back(features, query_size() + 2 * key_size(), options_.bias);
    } else {
      inputs_.emplace_back(features, query_size(), options_.bias);
      inputs_.emplace_back(options_.source_features, key_size(), options_.bias);
      inputs_.emplace_back(options_.source_features, key_size(), options_.bias);
    }
  }

  const MultiHeadAttentionOptions& options() const { return options_; }
  Index features() const { return features_; }
  Index out_features() const { return options_.output_projection ? features_ : query_size(); }

  // Self-attention of x [B, L, features] or [L, features]; the same shape and kind comes back.
  template <Tokens X, class M = mask::None, class S = score::None, class Attend = AttendHere>
  requires(!Tokens<M>) auto forward(const X& x, const M& mask = {}, const S& score = {},
                                    const Options& options = {}, const Attend& attend = {}) const {
    return forward(x, x, x, mask, score, options, attend);
  }

  // Attention of queries to keys and values from elsewhere.
  //
  //   query    [B, Lq, features]
  //   key      [B, Lk, source_features]
  //   value    [B, Lk, source_features]
  //   returns  [B, Lq, features], of query's kind
  //
  // Mask and score see [B, heads, Lq, Lk], as heed::attention's. Throws heed::Error where shapes
  // disagree. Holds q, k, v and the heads' results during the call, no scores.
  template <Tokens X, Tokens K, Tokens V, class M = mask::None, class S = score::None,
            class Attend = AttendHere>
  auto forward(const X& query, const K& key, const V& value, const M& mask = {},
               const S& score = {}, const Options& options = {}, const Attend& attend = {}) const {
    auto result = make_tokens(query, out_features());
    const auto out = made_view<X>(result);
    const Projected projected(*this, query, key, value, options);
    const auto context = options_.output_projection ? projected.context : out;
    attend(blhd(split_heads(context, options_.heads)), blhd(projected.q), blhd(projected.k),
           blhd(projected.v), mask, score, attention_options(options));
    if (options_.output_projection) {
      affine_into(out, context.as_const(), output_.affine(), options);
    }
    return result;
  }

  // forward, and the weights of every head: O(heads · Lq · Lk) more memory, and slower.
  template <Tokens X, class M = mask::None, class S = score::None>
  requires(!Tokens<M>) auto forward_with_weights(const X& x, const M& mask = {},
                                                 const S& score = {},
                                                 const Options& options = {}) const {
    return forward_with_weights(x, x, x, mask, score, options);
  }
  template <Tokens X, Tokens K, Tokens V, class M = mask::None, class S = score::None>
  auto forward_with_weights(const X& query, const K& key, const V& value, const M& mask = {},
                            const S& score = {}, const Options& options = {}) const {
    auto result = make_tokens(query, out_features());
    const auto out = made_view<X>(result);
    const Projected projected(*this, query, key, value, options);
    const auto common = attention_options(options);
    auto heads =
        chunked::attention(blhd(projected.q), blhd(projected.k), blhd(projected.v), mask, score,
                           {.weights = true,
                            .threads = common.threads,
                            .executor = common.executor,
                            .dropout = common.dropout,
                            .seed = common.seed});
    const auto context =
        view(heads.out.data(), {out.extent[0], out.extent[1], query_size()}).as_const();
    if (options_.output_projection) {
      affine_into(out, context, output_.affine(), options);
    } else {
      copy_tokens(out, context);
    }
    return AttentionWithWeights<decltype(result), T>{std::move(result), std::move(heads.weights)};
  }

  // Names: query, key, value (or qkv) and output, each .weight and, with bias, .bias.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    const std::vector<const char*> names =
        self.inputs_.size() == 1 ? std::vector{"qkv."} : std::vector{"query.", "key.", "value."};
    for (std::size_t n = 0; n < names.size(); ++n) {
      nn::each_parameter(self.inputs_[n], visit, prefix + names[n]);
    }
    if (self.options_.output_projection) {
      nn::each_parameter(self.output_, visit, prefix + "output.");
    }
  }

 private:
  // q, k, v [B, L, heads, head_dim] of one call, and room for the heads' results.
  struct Projected {
    Scratch scratch;
    View<T, 4> q, k, v;
    View<T, 3> context;  // [B, Lq, heads · head_dim]; no data without an output projection

    template <class X, class K, class V>
    Projected(const MultiHeadAttention& self, const X& query, const K& key, const V& value,
              const Options& options)
        : Projected{self, self.tokens(query, self.features_, "query"),
                    self.tokens(key, self.options_.source_features, "key"),
                    self.tokens(value, self.options_.source_features, "value"), options} {}

    Projected(const MultiHeadAttention& self, const View<const T, 3>& query,
              const View<const T, 3>& key, const View<const T, 3>& value, const Options& options)
        : scratch(self.carve(nullptr, query, key, value).used, {}) {
      const Carved carved = self.carve(scratch.begin(), query, key, value);
      affine_into(carved.q, query, self.input(0), options);
      affine_into(carved.k, key, self.input(1), options);
      affine_into(carved.v, value, self.input(2), options);
      q = split_heads(carved.q, self.options_.heads);
      k = split_heads(carved.k, self.options_.kv_heads);
      v = split_heads(carved.v, self.options_.kv_heads);
      context = carved.context;
    }
  };

  struct Carved {
    View<T, 3> q, k, v, context;
    std::size_t used;
  };

  Carved carve(std::byte* begin, const View<const T, 3>& query, const View<const T, 3>& key,
               const View<const T, 3>& value) const {
    Carver carver(begin);
    const auto piece = [&](const View<const T, 3>& x, Index size) {
      View<T, 3> result = view(static_cast<T*>(nullptr), {x.extent[0], x.extent[1], size});
      result.data = carver.array<T>(checked_size(result));
      return result;
    };
    const auto q = piece(query, query_size());
    const auto k = piece(key, key_size());
    const auto v = piece(value, key_size());
    const auto context = piece(query, options_.output_projection ? query_size() : 0);
    return {q, k, v, context, carver.used()};
  }

  template <class X>
  View<const T, 3> tokens(const X& x, Index features, const char* name) const {
    return tokens_of(x, features, "heed::nn::MultiHeadAttention::forward", name);
  }

  // The projection to queries (0), keys (1) or values (2).
  Affine<T> input(int part) const {
    if (inputs_.size() == 3) return inputs_[static_cast<std::size_t>(part)].affine();
    const Index first = part == 0 ? 0 : query_size() + (part - 1) * key_size();
    return inputs_[0].rows(first, part == 0 ? query_size() : key_size());
  }

  heed::Options attention_options(const Options& options) const {
    return {.threads = options.threads,
            .executor = options.executor,
            .dropout = options.mode == Mode::train ? options_.dropout : 0,
            .seed = options.seed};
  }

  Index query_size() const { return options_.heads * options_.head_dim; }
  Index key_size() const { return options_.kv_heads * options_.head_dim; }

  MultiHeadAttentionOptions options_;
  Index features_;
  std::vector<Linear<T>> inputs_;  // query, key, value; or all in one
  Linear<T> output_;
};

}  // namespace heed::nn
