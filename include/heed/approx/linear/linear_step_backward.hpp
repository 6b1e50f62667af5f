// The gradients of linear attention as a recurrent network: back through the steps of decoding.
#pragma once

#include <algorithm>
#include <vector>

#include "heed/approx/linear/feature_map.hpp"
#include "heed/approx/linear/linear_state.hpp"
#include "heed/attention/backward.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// The steps of one head of keys and its query heads, with the equations of
// scan_gradient_segment.hpp, token by token.
template <class T, class F>
class StepGradients {
 public:
  using R = Accum<T>;

  StepGradients(const Problem<T>& problem, const View<const T, 4>& d_out,
                const GradientViews<T>& to, const F& map, Index b, Index h)
      : problem_(problem), d_out_(d_out), to_(to), map_(map), b_(b), h_(h) {
    const Shape& shape = problem.shape;
    gradients_ = zeros<R>(checked_product(shape.group() * shape.Lq, shape.Dv + 2));
  }

  // d_q of token t, and g of its queries. state [D, Dv] and z [D] with the token's key.
  void queries(Index t, const R* state, const R* z) {
    const Shape& shape = problem_.shape;
    for (Index n = 0; n < shape.group(); ++n) {
      const Index hq = h_ * shape.group() + n;
      R* g = gradient(n, t);
      R sum = 0, delta = 0;
      for (Index d = 0; d < shape.D; ++d) {
        const R feature = map_(static_cast<R>(problem_.q(b_, hq, t, d)));
        sum += feature * z[d];
        for (Index e = 0; e < shape.Dv; ++e) g[e] += feature * state[d * shape.Dv + e];
      }
      const R raise = sum == R(0) ? R(1) : gradient_raise_of(sum);
      const R factor = sum == R(0) ? R(0) : R(1) / (sum * raise);
      for (Index e = 0; e < shape.Dv; ++e) {
        const R d_out = sum == R(0) ? R(0) : static_cast<R>(d_out_(b_, hq, t, e));
        delta += d_out * (g[e] * raise * factor);
        g[e] = d_out * factor;
      }
      g[shape.Dv] = -delta * factor;
      g[shape.Dv + 1] = raise;
      for (Index d = 0; d < shape.D; ++d) {
        R of_feature = g[shape.Dv] * z[d];
        for (Index e = 0; e < shape.Dv; ++e) of_feature += g[e] * state[d * shape.Dv + e];
        store(to_.d_q(b_, hq, t, d), of_feature * raise, problem_.q(b_, hq, t, d));
      }
    }
  }

  // d_k and d_v of token t; the gradients of the state and z take in those of its queries.
  void keys(Index t, R* d_state, R* d_z) {
    const Shape& shape = problem_.shape;
    std::vector<R> of_v(static_cast<std::size_t>(shape.Dv));
    for (Index n = 0; n < shape.group(); ++n) {
      const R* g = gradient(n, t);
      for (Index d = 0; d < shape.D; ++d) {
        const R feature =
            g[shape.Dv + 1] * map_(static_cast<R>(problem_.q(b_, h_ * shape.group() + n, t, d)));
        d_z[d] += feature * g[shape.Dv];
        for (Index e = 0; e < shape.Dv; ++e) d_state[d * shape.Dv + e] += feature * g[e];
      }
    }
    for (Index d = 0; d < shape.D; ++d) {
      const R feature = map_(static_cast<R>(problem_.k(b_, h_, t, d)));
      R of_feature = d_z[d];
      for (Index e = 0; e < shape.Dv; ++e) {
        const R of_state = d_state[d * shape.Dv + e];
        of_feature += of_state * static_cast<R>(problem_.v(b_, h_, t, e));
        of_v[static_cast<std::size_t>(e)] += of_state * feature;
      }
      store(to_.d_k(b_, h_, t, d), of_feature, problem_.k(b_, h_, t, d));
    }
    for (Index e = 0; e < shape.Dv; ++e) {
      to_.d_v(b_, h_, t, e) = static_cast<T>(of_v[static_cast<std::size_t>(e)]);
    }
  }

 private:
  // [d_out, −delta] / z of a query and the factor of its features; zeros at first.
  R* gradient(Index n, Index t) {
    return gradients_.data() + (n * problem_.shape.Lq + t) * (problem_.shape.Dv + 2);
  }
  void store(T& to, R of_feature, const T& x) const {
    to = static_cast<T>(of_feature * static_cast<R>(map_.derivative(static_cast<R>(x))));
  }

  const Problem<T>& problem_;
  const View<const T, 4>& d_out_;
  const GradientViews<T>& to_;
  const F& map_;
  Index b_, h_;
  std::vector<R> gradients_;  // [group, L, Dv + 2]
};

// The gradients of Σ d_out ∘ out and of what comes after, where out = linear_step(state, q, k, v,
// map).out.
//
//   d_state    of B batches and Hkv heads: on entry the gradient of the state after the steps, 0
//              where nothing follows; on return that of the state before them
//   state      the state before the steps
//   d_out      [B, Hq,  L, Dv], of q's element type and rank, any strides
//   q, k, v    as for linear_step; map as in that call, with a derivative
//
// Returns {d_q, d_k, d_v} in the layouts of q, k and v. With states kept before each piece of a
// text, pieces from the last to the first give the gradients of linear(…, mask::causal()) over the
// whole text, but for rounding; a state that is cut off gives truncated backpropagation.
// Throws heed::Error as linear_step does, and where d_out is not [B, Hq, L, Dv]; d_state is then
// unchanged. Time O(B·L·(Hkv + Hq)·D·Dv), on the calling thread; scratch O(B·Hkv·D·Dv +
// L·group·Dv). Katharopoulos et al., "Transformers are RNNs" (2020), equations 13 to 20.
template <class R, class DOut, class Q, class K, class V, class F = EluPlusOne>
requires RightTypes<Q, K, V> && RightGradientTypes<DOut, Q, score::None>
auto linear_step_backward(LinearState<R>& d_state, const LinearState<R>& state, const DOut& d_out,
                          const Q& q, const K& k, const V& v, const F& map = {}) {
  constexpr const char* call = "heed::approx::linear_step_backward";
  using T = ScalarOf<Q>;
  static_assert(std::is_same_v<R, Accum<T>>,
                "heed::approx::linear_step_backward: the states must be of the tensors' type of "
                "sums");
  static_assert(DifferentiableMap<F, R>,
                "heed::approx::linear_step_backward: this map has no derivative: give it a member "
                "derivative(x), or pass approx::with_derivative(map, derivative)");
  const Shape shape = check_call(call, q, k, v, mask::None{}, score::None{}, {});
  check_state(call, state, q, k, v, shape);
  check_state(call, d_state, q, k, v, shape);
  const auto problem = make_problem(q, k, v, shape, {});
  const View<const T, 4> d_o = lift(view_of(d_out));
  check_shape_of_out(call, "d_out", d_o, shape);
  Gradients gradients{make_as<T>(q), make_as<T>(k), make_as<T>(v)};
  const auto to = gradient_views<Q, K, V>(gradients);
  if (shape.Hq == 0) {  // linear_step without queries absorbs nothing
    std::fill_n(gradients.d_k.data(), gradients.d_k.size(), T(0));
    std::fill_n(gradients.d_v.data(), gradients.d_v.size(), T(0));
    return gradients;
  }
  LinearState<R> at = state;
  for (Index b = 0; b < shape.B; ++b) {
    for (Index h = 0; h < shape.Hkv; ++h) {
      const Index head = b * shape.Hkv + h, size = shape.D * shape.Dv;
      StepGradients<T, F> steps(problem, d_o, to, map, b, h);
      for (Index t = 0; t < shape.Lk; ++t) {
        at.absorb(problem.k, problem.v, b, h, t, map);
        steps.queries(t, at.S.data() + head * size, at.z.data() + head * shape.D);
      }
      for (Index t = shape.Lk - 1; t >= 0; --t) {
        steps.keys(t, d_state.S.data() + head * size, d_state.z.data() + head * shape.D);
      }
    }
  }
  return gradients;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
