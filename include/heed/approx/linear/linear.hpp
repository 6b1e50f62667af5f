// Linear attention: e^(q·k) is replaced by φ(q)·φ(k), so that the keys are summed once for all
// queries. Katharopoulos et al., "Transformers are RNNs" (2020).
#pragma once

#include "heed/approx/linear/feature_map.hpp"
#include "heed/approx/linear/scan_attention.hpp"
#include "heed/approx/options.hpp"
#include "heed/approx/results.hpp"
#include "heed/attention/operands.hpp"

namespace heed::approx {

inline namespace HEED_ABI {

// out_i = Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j), j over the keys that query i sees.
//
//   q    [B, Hq,  Lq, D]     any tensor that attention takes; Hq % Hkv == 0
//   k    [B, Hkv, Lk, D]
//   v    [B, Hkv, Lk, Dv]
//   map  φ, number by number: EluPlusOne, Relu, or a callable R -> R ≥ 0
//   mask none, mask::causal(…), mask::padding(…), or causal & padding
//
// Returns {out}, 0 where a row sees no key or φ(q)·φ(k) is 0 for all of them. There is no scale:
// it belongs into q, or into φ. Throws heed::Error as attention does.
// Time O((Lq + Lk)·D·Dv); scratch O(threads·D·Dv + Lk / 1024·D·Dv).
// Katharopoulos et al., "Transformers are RNNs" (2020), equations 5 to 12.
template <class Q, class K, class V, class F = EluPlusOne, class M = mask::None>
requires RightTypes<Q, K, V, M>
auto linear(const Q& q, const K& k, const V& v, const F& map = {}, const M& mask = {},
            const RunOptions& options = {}) {
  using T = ScalarOf<Q>;
  static_assert(FeatureMap<F, Accum<T>>,
                "heed::approx::linear: the map must be callable as R -> R, R the type of sums "
                "(float, double for double): EluPlusOne, Relu or your own");
  static_assert(mask::is_prefix_mask<M>,
                "heed::approx::linear: the mask can be mask::causal(), mask::padding(lengths) or "
                "both with &: sums over other sets of keys would take Lq sums of their own");
  const Shape shape =
      check_call("heed::approx::linear", q, k, v, mask, score::None{}, options.common());
  auto problem = make_problem(q, k, v, shape, options.common());
  auto result = output_for(q, problem);
  if (result.out.size() == 0) return result;
  scan_attention(problem, Elementwise<T, F>{map}, shape.D, mask::key_limits_of(mask, shape).data(),
                 options.threads, options.executor);
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
