// The gradients of Performers.
#pragma once

#include <string>

#include "heed/approx/linear/performer.hpp"
#include "heed/approx/linear/random_features_gradient.hpp"
#include "heed/approx/linear/scan_gradients.hpp"

namespace heed::approx {

inline namespace HEED_ABI {

// The gradients of Σ d_out ∘ out, where out = performer(q, k, v, features, mask, options).out. The
// random directions are constants: those of the forward call with the same features and seed.
//
//   d_out    [B, Hq, Lq, Dv], of q's element type and rank, any strides
//   q, k, v  as for performer; features, mask and options as in that call
//
// Returns {d_q, d_k, d_v} in the layouts of q, k and v; d_k and d_v are summed over the heads of a
// group. A masked pair adds exactly 0; a row that sees no key has gradient 0. Sums are float for
// half types, rounded once.
//
// The forward pass is computed again, so no result is asked for. Bits depend on neither threads nor
// batch. Throws heed::Error as performer does, and where d_out is not [B, Hq, Lq, Dv].
// Time O((Lq + Lk)·features·(D + Dv)); scratch as linear_backward's, of `features` for D.
// Choromanski et al., "Rethinking Attention with Performers" (2021).
template <class DOut, class Q, class K, class V, class M = mask::None>
requires RightTypes<Q, K, V, M> && RightGradientTypes<DOut, Q, score::None>
auto performer_backward(const DOut& d_out, const Q& q, const K& k, const V& v, Index features,
                        const M& mask = {}, const PerformerOptions& options = {}) {
  constexpr const char* call = "heed::approx::performer_backward";
  using T = ScalarOf<Q>;
  static_assert(mask::is_prefix_mask<M>,
                "heed::approx::performer_backward: the mask can be mask::causal(), "
                "mask::padding(lengths) or both with &, as for performer");
  const heed::Options common = options.common();
  const Shape shape = check_call(call, q, k, v, mask, score::None{}, common);
  check_features(call, features);
  const auto problem = make_problem(q, k, v, shape, common);
  const View<const T, 4> d_o = lift(view_of(d_out));
  check_shape_of_out(call, "d_out", d_o, shape);
  Gradients gradients{make_as<T>(q), make_as<T>(k), make_as<T>(v)};
  const auto to = gradient_views<Q, K, V>(gradients);
  if (are_empty(to)) return gradients;
  const RandomFeaturesGradient<T> map(features, shape.D, problem.scale, options.seed);
  scan_gradients(problem, d_o, to, map, features, mask::key_limits_of(mask, shape).data(),
                 options.threads, options.executor);
  return gradients;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
