// Performers: softmax attention through positive orthogonal random features (FAVOR+).
// Choromanski et al., "Rethinking Attention with Performers" (2021).
#pragma once

#include "heed/approx/linear/random_features.hpp"
#include "heed/approx/linear/scan_attention.hpp"
#include "heed/approx/results.hpp"
#include "heed/attention/operands.hpp"

namespace heed::approx {

struct PerformerOptions {
  std::optional<double> scale = {};  // default 1/sqrt(D)
  std::uint64_t seed = 0;            // of the random directions, which all heads share
  int threads = 0;                   // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;      // the user's pool

  heed::Options common() const {
    return {.scale = scale, .threads = threads, .executor = executor};
  }
};

inline namespace HEED_ABI {

// Throws heed::Error for a number of features that no Performer has.
inline void check_features(const char* call, Index features) {
  if (features >= 1 && features <= max_length) return;
  refuse({call, ": features ", features, " is outside 1 … 2^31 - 1"});
}

// out = softmax(scale · q kᵀ) v, where e^(scale·q·k) is estimated from `features` random features.
//
//   q     [B, Hq,  Lq, D]     any tensor that attention takes; Hq % Hkv == 0
//   k     [B, Hkv, Lk, D]
//   v     [B, Hkv, Lk, Dv]
//   mask  none, mask::causal(…), mask::padding(…), or causal & padding
//
// Returns {out, lse}; lse is the natural log of the estimated sum, which itself is unbiased. The
// error falls as 1/√features, and grows fast with |q|·|k|: a few units of score are the limit.
// A row that sees no key is 0, its lse −inf. Throws heed::Error as attention does, and for features
// below 1. Time O((Lq + Lk)·features·(D + Dv)); scratch O(features·(threads + Lk / 1024)·Dv).
// Choromanski et al. (2021), Algorithm 1, with Lemma 1's features.
template <class Q, class K, class V, class M = mask::None>
requires RightTypes<Q, K, V, M>
auto performer(const Q& q, const K& k, const V& v, Index features, const M& mask = {},
               const PerformerOptions& options = {}) {
  constexpr const char* call = "heed::approx::performer";
  using T = ScalarOf<Q>;
  static_assert(
      mask::is_prefix_mask<M>,
      "heed::approx::performer: the mask can be mask::causal(), mask::padding(lengths) or "
      "both with &: sums over other sets of keys would take Lq sums of their own");
  const heed::Options common = options.common();
  const Shape shape = check_call(call, q, k, v, mask, score::None{}, common);
  check_features(call, features);
  auto problem = make_problem(q, k, v, shape, common);
  auto result = result_for(q, problem);
  if (has_no_rows(shape)) return result;
  const RandomFeatures<T> map(features, shape.D, problem.scale, options.seed);
  scan_attention(problem, map, features, mask::key_limits_of(mask, shape).data(), options.threads,
                 options.executor);
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
