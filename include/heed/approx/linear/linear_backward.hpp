// The gradients of linear attention.
#pragma once

#include "heed/approx/linear/feature_gradient.hpp"
#include "heed/approx/linear/linear.hpp"
#include "heed/approx/linear/scan_gradients.hpp"

namespace heed::approx {

inline namespace HEED_ABI {

// The gradients of Σ d_out ∘ out, where out = linear(q, k, v, map, mask, options).out.
//
//   d_out    [B, Hq, Lq, Dv], of q's element type and rank, any strides
//   q, k, v  as for linear; map, mask and options as in that call
//
// Returns {d_q, d_k, d_v} in the layouts of q, k and v; d_k and d_v are summed over the heads of a
// group. The map needs a derivative (EluPlusOne and Relu have one, with_derivative gives a lambda
// one); else the call does not compile. A masked pair adds exactly 0; a row that sees no key, or
// whose sum Σ φ(q)·φ(k) is 0, has gradient 0. Sums are float for half types, rounded once.
//
// The forward pass is computed again, so no result is asked for. Bits depend on neither threads nor
// batch. Throws heed::Error as linear does, and where d_out is not [B, Hq, Lq, Dv].
// Time O((Lq + Lk)·D·Dv), six products where linear has two; scratch O(threads·D·Dv +
// (Lq + Lk) / 1024·D·Dv + Lq).
// Katharopoulos et al., "Transformers are RNNs" (2020), equations 13 to 15.
template <class DOut, class Q, class K, class V, class F = EluPlusOne, class M = mask::None>
requires RightTypes<Q, K, V, M> && RightGradientTypes<DOut, Q, score::None>
auto linear_backward(const DOut& d_out, const Q& q, const K& k, const V& v, const F& map = {},
                     const M& mask = {}, const RunOptions& options = {}) {
  constexpr const char* call = "heed::approx::linear_backward";
  using T = ScalarOf<Q>;
  static_assert(FeatureMap<F, Accum<T>>,
                "heed::approx::linear_backward: the map must be callable as R -> R, R the type of "
                "sums (float, double for double): EluPlusOne, Relu or your own");
  static_assert(DifferentiableMap<F, Accum<T>> || !FeatureMap<F, Accum<T>>,
                "heed::approx::linear_backward: this map has no derivative: give it a member "
                "derivative(x), or pass approx::with_derivative(map, derivative)");
  static_assert(mask::is_prefix_mask<M>,
                "heed::approx::linear_backward: the mask can be mask::causal(), "
                "mask::padding(lengths) or both with &, as for linear");
  const Shape shape = check_call(call, q, k, v, mask, score::None{}, options.common());
  const auto problem = make_problem(q, k, v, shape, options.common());
  const View<const T, 4> d_o = lift(view_of(d_out));
  check_shape_of_out(call, "d_out", d_o, shape);
  Gradients gradients{make_as<T>(q), make_as<T>(k), make_as<T>(v)};
  const auto to = gradient_views<Q, K, V>(gradients);
  if (are_empty(to)) return gradients;
  scan_gradients(problem, d_o, to, ElementwiseGradient<T, F>{map}, shape.D,
                 mask::key_limits_of(mask, shape).data(), options.threads, options.executor);
  return gradients;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
