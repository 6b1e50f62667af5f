// heed::attention as a module: dropout in training mode, weights on request, no parameters.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "heed/attention/attention.hpp"
#include "heed/attention/backward.hpp"
#include "heed/nn/dropout.hpp"
#include "heed/nn/gradients.hpp"

namespace heed::nn {

struct ScaledDotProductAttentionOptions {
  double dropout = 0;  // of the weights, in Mode::train; the documents have 0.1 and 0.0
  std::optional<double> scale = {};  // default 1/sqrt(D)
};

template <class Out, class Weights>
struct OutWithWeights {
  Out out;          // as q, with v's dim
  Weights weights;  // [B, Hq, Lq, Lk], [B, Lq, Lk] or [Lq, Lk], after dropout
};

// A forward_train call.
template <class X>
struct AttentionSaved {
  X result;  // {out, lse}
  SavedDropout dropout;
};

inline namespace HEED_ABI {

// Vaswani et al. (2017), equation 1.
class ScaledDotProductAttention {
 public:
  // Throws heed::Error for dropout outside [0, 1].
  explicit ScaledDotProductAttention(const ScaledDotProductAttentionOptions& options = {})
      : options_(options) {
    check_dropout("heed::nn::ScaledDotProductAttention", options.dropout);
  }

  const ScaledDotProductAttentionOptions& options() const { return options_; }

  // softmax(mask(modify(scale · q kᵀ))) v
  //
  //   q        [B, Hq, Lq, D]    or [B, L, D] (one head), or [L, D]
  //   k        [B, Hkv, Lk, D]
  //   v        [B, Hkv, Lk, Dv]
  //   returns  [B, Hq, Lq, Dv]   of q's rank and kind
  //
  // Throws heed::Error as heed::attention does. Time O(Lq·Lk·D); no scores are held.
  template <class Q, class K, class V, class M = mask::None, class S = score::None>
  auto forward(const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
               const Options& options = {}) const {
    return attention(q, k, v, mask, score, attention_options(options)).out;
  }

  // forward into out. Allocates nothing where options.workspace has workspace_bytes(…).
  template <class Out, class Q, class K, class V, class M = mask::None, class S = score::None>
  void forward_into(Out&& out, const Q& q, const K& k, const V& v, const M& mask = {},
                    const S& score = {}, const Options& options = {}) const {
    attention_into(out, q, k, v, mask, score, attention_options(options));
  }

  template <class Q, class K, class V, class M = mask::None, class S = score::None>
  std::size_t workspace_bytes(const Q& q, const K& k, const V& v, const M& mask = {},
                              const S& score = {}, const Options& options = {}) const {
    return heed::workspace_bytes(q, k, v, mask, score, attention_options(options));
  }

  // {out, weights}: O(Hq · Lq · Lk) more memory, and slower.
  template <class Q, class K, class V, class M = mask::None, class S = score::None>
  auto forward_with_weights(const Q& q, const K& k, const V& v, const M& mask = {},
                            const S& score = {}, const Options& options = {}) const {
    const heed::Options how = attention_options(options);
    auto result = chunked::attention(q, k, v, mask, score,
                                     {.weights = true,
                                      .scale = how.scale,
                                      .threads = how.threads,
                                      .executor = how.executor,
                                      .dropout = how.dropout,
                                      .seed = how.seed});
    drop_weights(lift(mutable_view_of(result.weights)), Dropout::of(how.dropout, how.seed),
                 options);
    return OutWithWeights<decltype(result.out), decltype(result.weights)>{
        std::move(result.out), std::move(result.weights)};
  }

  // {out, saved}: the result of heed::attention and the dropout.
  template <class Q, class K, class V, class M = mask::None, class S = score::None>
  auto forward_train(const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
                     const Options& options = {}) const {
    auto result = attention(q, k, v, mask, score, attention_options(options));
    auto out = result.out;
    return OutWithSaved{std::move(out),
                        AttentionSaved<decltype(result)>{std::move(result), SavedDropout(options)}};
  }

  // {d_q, d_k, d_v} in the layouts of q, k and v, which with mask and score are the forward call's.
  template <class D, class Q, class K, class V, class X, class M = mask::None,
            class S = score::None>
  auto backward(const D& d_out, const Q& q, const K& k, const V& v, const AttentionSaved<X>& saved,
                const M& mask = {}, const S& score = {}, const Options& options = {}) const {
    auto how = attention_options(saved.dropout.with(options));
    how.workspace = {};  // it has room for forward's scratch
    return attention_backward(d_out, q, k, v, saved.result, mask, score, how);
  }

  template <class Self, class Visit>
  static void each_parameter(Self&, const Visit&, const std::string&) {}

 private:
  heed::Options attention_options(const Options& options) const {
    return {.scale = options_.scale,
            .threads = options.threads,
            .executor = options.executor,
            .dropout = options.mode == Mode::train ? options_.dropout : 0,
            .seed = options.seed,
            .workspace = options.workspace};
  }

  ScaledDotProductAttentionOptions options_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
