// Queries, keys and values by projection, attention head by head, and a projection back.
// Vaswani et al., "Attention Is All You Need" (2017), section 3.2.2.
#pragma once

#include <string>
#include <utility>

#include "heed/nn/attend_cache.hpp"
#include "heed/nn/multi_head_backward.hpp"

namespace heed::nn {

template <class Out, class T>
struct AttentionWithWeights {
  Out out;             // [B, Lq, features]
  Tensor4<T> weights;  // [B, heads, Lq, Lk]; rows sum to 1 in Mode::eval, less beside sinks. In
                       // Mode::train they are after dropout, as values were multiplied by them.
                       // Extra keys come last
};

inline namespace HEED_ABI {

template <class T>
class MultiHeadAttention {
 public:
  // Throws heed::Error where the features do not divide among the heads.
  explicit MultiHeadAttention(Index features, const MultiHeadAttentionOptions& options = {})
      : parts_(resolve(options, features), features) {}

  const MultiHeadAttentionOptions& options() const { return parts_.options; }
  Index features() const { return parts_.features; }
  Index out_features() const { return parts_.out_features(); }

  // Self-attention of x [B, L, features] or [L, features]; the same shape and kind comes back.
  template <Tokens X, class M = mask::None, class S = score::None, class Attend = AttendHere>
  requires(!Tokens<M>) auto forward(const X& x, const M& mask = {}, const S& score = {},
                                    const Options& options = {}, const Attend& attend = {}) const {
    return forward(x, x, x, mask, score, options, attend);
  }

  // A tensor is not a mask: the compile error says what is.
  template <Tokens X, Tokens M>
  void forward(const X&, const M&) const {
    check_not_tensors<M, score::None>();
  }

  // Attention of queries to keys and values from elsewhere.
  //
  //   query    [B, Lq, features]
  //   key      [B, Lk, source_features]
  //   value    [B, Lk, value_features]
  //   returns  [B, Lq, features], of query's kind
  //
  // Mask and score see [B, heads, Lq, Lk], as heed::attention's; a rank-3 mask::dense or
  // score::bias is [B, Lq, Lk], such as [B, 1, Lk]. Throws heed::Error where shapes disagree. Holds
  // q, k, v and the heads' results during the call, no scores.
  template <Tokens X, Tokens K, Tokens V, class M = mask::None, class S = score::None,
            class Attend = AttendHere>
  auto forward(const X& query, const K& key, const V& value, const M& mask = {},
               const S& score = {}, const Options& options = {}, const Attend& attend = {}) const {
    const auto call = parts_.call("heed::nn::MultiHeadAttention::forward", query, key, value);
    auto result = make_tokens(query, out_features());
    multi_head_run(parts_, made_view<X>(result), call, mask, score, options, attend);
    return result;
  }

  // Self-attention of x [B, L, features] behind the tokens of a cache, to which it appends: a
  // prompt, in parts too, then token by token.
  //
  //   cache  kv::Cache or kv::PagedCache, [B, kv_heads, length(b), head_dim]
  //
  // Mask and score see [B, heads, L, length(b) + L], as over any cache: a text needs
  // mask::causal(). Rotary positions count from length(b) before the call; behind erase, from
  // length(b) + erased[b] of AttendCache{cache, erased}. Without dropout a token has the same bits
  // however the calls are cut.
  // Throws heed::Error where shapes disagree, where the cache has no room, for extra keys, and for
  // positions beyond the table; then the cache has the tokens that it had.
  template <Tokens X, GrowingCache C, class M = mask::None, class S = score::None>
  auto forward(const X& x, C& cache, const M& mask = {}, const S& score = {},
               const Options& options = {}) const {
    return forward(x, AttendCache<C>{cache}, mask, score, options);
  }
  template <Tokens X, GrowingCache C, class M = mask::None, class S = score::None>
  auto forward(const X& x, const AttendCache<C>& cache, const M& mask = {}, const S& score = {},
               const Options& options = {}) const {
    return forward_behind(
        cache, [&](const auto& attend) { return forward(x, mask, score, options, attend); });
  }

  // forward into out [B, Lq, features], of query's rank; out may be the query. Allocates nothing
  // where options.workspace has workspace_bytes(…) of the same arguments.
  template <class Out, Tokens X, class M = mask::None, class S = score::None,
            class Attend = AttendHere>
  requires(!Tokens<M>) void forward_into(Out&& out, const X& x, const M& mask = {},
                                         const S& score = {}, const Options& options = {},
                                         const Attend& attend = {}) const {
    forward_into(out, x, x, x, mask, score, options, attend);
  }
  template <class Out, Tokens X, Tokens K, Tokens V, class M = mask::None, class S = score::None,
            class Attend = AttendHere>
  void forward_into(Out&& out, const X& query, const K& key, const V& value, const M& mask = {},
                    const S& score = {}, const Options& options = {},
                    const Attend& attend = {}) const {
    constexpr const char* name = "heed::nn::MultiHeadAttention::forward_into";
    const auto call = parts_.call(name, query, key, value);
    const auto to = out_view<X>(out);
    check_out(name, to, call.query, "query", out_features(), options, true);
    check_apart(name, to, call.key, "key", options, true);
    check_apart(name, to, call.value, "value", options, true);
    multi_head_run(parts_, to, call, mask, score, options, attend);
  }

  // {out, saved} of self-attention or of attention to elsewhere, in memory O(L · features). A query
  // that is moved is kept without a copy.
  template <Tokens X, class M = mask::None, class S = score::None>
  requires(!Tokens<M>) auto forward_train(const X& x, const M& mask = {}, const S& score = {},
                                          const Options& options = {}) const {
    auto trained =
        forward_train(kept(tokens_of(x, features(), train_name, "query")), mask, score, options);
    return OutWithSaved{of_kind(x, std::move(trained.out)), std::move(trained.saved)};
  }
  template <class M = mask::None, class S = score::None>
  requires(!Tokens<M>) OutWithSaved<Tensor3<T>, SelfAttentionSaved<T>> forward_train(
      Tensor3<T>&& x, const M& mask = {}, const S& score = {}, const Options& options = {})
  const {
    const auto call = parts_.call(train_name, x, x, x);
    auto trained = train(std::move(x), call, true, mask, score, options);
    return {std::move(trained.out), {std::move(trained.saved)}};
  }
  template <Tokens X, Tokens K, Tokens V, class M = mask::None, class S = score::None>
  auto forward_train(const X& query, const K& key, const V& value, const M& mask = {},
                     const S& score = {}, const Options& options = {}) const {
    auto trained = forward_train(kept(tokens_of(query, features(), train_name, "query")), key,
                                 value, mask, score, options);
    return OutWithSaved{of_kind(query, std::move(trained.out)), std::move(trained.saved)};
  }
  template <Tokens K, Tokens V, class M = mask::None, class S = score::None>
  auto forward_train(Tensor3<T>&& query, const K& key, const V& value, const M& mask = {},
                     const S& score = {}, const Options& options = {}) const {
    const auto call = parts_.call(train_name, query, key, value);
    return train(std::move(query), call, false, mask, score, options);
  }

  // dx, of dy's kind, or {d_query, d_key, d_value}; adds to the gradients. Mask and score are the
  // forward call's; the score needs a derivative, as for heed::attention_backward. Throws
  // heed::Error where dy or the gradients are not of the saved call.
  template <Tokens D, class M = mask::None, class S = score::None>
  auto backward(const D& dy, const SelfAttentionSaved<T>& saved, MultiHeadAttention& gradients,
                const M& mask = {}, const S& score = {}, const Options& options = {}) const {
    const InputGradients<T> d = backward(dy, saved.call, gradients, mask, score, options);
    auto dx = make_tokens(dy, features());
    const auto to = made_view<D>(dx);
    copy_tokens(to, view_of(d.d_query));
    add_into(to, view_of(d.d_key));
    add_into(to, view_of(d.d_value));
    return dx;
  }
  template <Tokens D, class M = mask::None, class S = score::None>
  InputGradients<T> backward(const D& dy, const MultiHeadSaved<T>& saved,
                             MultiHeadAttention& gradients, const M& mask = {}, const S& score = {},
                             const Options& options = {}) const {
    const auto d = gradient_of(dy, out_features(), view_of(saved.query),
                               "heed::nn::MultiHeadAttention::backward");
    return multi_head_backward(parts_, d, saved, gradients.parts_, mask, score, options);
  }

  // Bytes that options.workspace must have for forward_into to allocate nothing.
  template <Tokens X, class M = mask::None, class S = score::None>
  requires(!Tokens<M>) std::size_t workspace_bytes(const X& x, const M& mask = {},
                                                   const S& score = {}, const Options& options = {})
  const { return workspace_bytes(x, x, x, mask, score, options); }
  template <Tokens X, Tokens K, Tokens V, class M = mask::None, class S = score::None>
  std::size_t workspace_bytes(const X& query, const K& key, const V& value, const M& mask = {},
                              const S& score = {}, const Options& options = {}) const {
    const auto call =
        parts_.call("heed::nn::MultiHeadAttention::workspace_bytes", query, key, value);
    const auto [B, Lq, Lk] = call.lengths();
    return Scratch::with_slack(scratch_bytes(B, Lq, Lk, mask, score, options));
  }

  // Of forward for such lengths, at an aligned address.
  template <class M, class S>
  std::size_t scratch_bytes(Index B, Index Lq, Index Lk, const M& mask, const S& score,
                            const Options& options) const {
    const auto bytes = multi_head_bytes(parts_, {B, Lq, Lk}, mask, score, options);
    return bytes.own + bytes.parts;
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
    const auto call =
        parts_.call("heed::nn::MultiHeadAttention::forward_with_weights", query, key, value);
    auto result = make_tokens(query, out_features());
    auto weights =
        multi_head_run_with_weights(parts_, made_view<X>(result), call, mask, score, options);
    return AttentionWithWeights<decltype(result), T>{std::move(result), std::move(weights)};
  }

  // The weights of a few queries alone: heed::attention_weights of the projections.
  //
  //   rows     [n]                  queries in [0, Lq): a vector or span of any integers
  //   returns  [B, heads, n, Lk]    before dropout; nothing of the size Lq · Lk is held
  //
  // Throws heed::Error for a row outside the queries, and for a module with extra keys.
  template <Tokens X, Tokens K, RowNumbers Rows, class M = mask::None, class S = score::None>
  Tensor4<T> attention_weights(const X& query, const K& key, const Rows& rows, const M& mask = {},
                               const S& score = {}, const Options& options = {}) const {
    constexpr const char* name = "heed::nn::MultiHeadAttention::attention_weights";
    const auto keys = tokens_of(key, parts_.options.source_features, name, "key");
    const auto call =
        check_inputs<T>(name, {tokens_of(query, features(), name, "query"), keys, keys});
    return multi_head_row_weights(parts_, call, rows, mask, score, options);
  }

  // Names: query, key, value (or qkv), gate and output, each .weight and, with bias, .bias;
  // query_norm.weight and key_norm.weight; sinks; with add_bias_kv also bias_key and bias_value.
  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    self.parts_.each_parameter(self.parts_, visit, prefix);
  }

 private:
  static constexpr const char* train_name = "heed::nn::MultiHeadAttention::forward_train";

  template <class M, class S>
  OutWithSaved<Tensor3<T>, MultiHeadSaved<T>> train(Tensor3<T>&& query,
                                                    const MultiHeadInputs<T>& in, bool is_self,
                                                    const M& mask, const S& score,
                                                    const Options& options) const {
    auto out = make_tensor3<T>(in.query.extent[0], in.query.extent[1], out_features());
    auto saved = multi_head_forward(parts_, mutable_view_of(out), in, std::move(query), is_self,
                                    mask, score, options);
    return {std::move(out), std::move(saved)};
  }

  MultiHeadParts<T> parts_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
