// The gradients that a backward call returns, and its check of d_out.
#pragma once

#include <string>

#include "heed/attention/operands.hpp"
#include "heed/attention/result.hpp"
#include "heed/core/layout.hpp"

namespace heed {

// Of a loss: d_q [B, Hq, Lq, D], d_k [B, Hkv, Lk, D], d_v [B, Hkv, Lk, Dv], each in the layout and
// rank of its input.
template <class Q, class K, class V>
struct Gradients {
  Q d_q;
  K d_k;
  V d_v;
};
template <class Q, class K, class V>
Gradients(Q, K, V) -> Gradients<Q, K, V>;  // clang 14 does not deduce it by itself

inline namespace HEED_ABI {

template <class X>
inline constexpr int order_of = 0;  // of dimensions
template <class X>
inline constexpr int order_of<Blhd<X>> = 1;
template <class X>
inline constexpr int order_of<Dlhb<X>> = 2;

// True where d_out is a tensor like q; else a compile error that says what is wrong.
template <class DOut, class Q>
consteval bool check_d_out_type() {
  if constexpr (!TensorLike<DOut>) {
    static_assert(TensorLike<DOut>,
                  "heed: d_out must be a tensor, [B, Hq, Lq, Dv]: it comes before q");
    return false;
  } else {
    constexpr bool one_type = std::is_same_v<ScalarOf<DOut>, ScalarOf<Q>>;
    constexpr bool one_rank = rank_of<DOut> == rank_of<Q>;
    static_assert(one_type, "heed: d_out must have the element type of q");
    constexpr bool one_order = order_of<Q> == 0 || order_of<DOut> == order_of<Q>;
    static_assert(one_rank || !one_type, "heed: d_out must have the rank of q");
    static_assert(one_order,
                  "heed: d_out must have the order of q's dimensions: heed::blhd(d_out) beside "
                  "heed::blhd(q), heed::dlhb(d_out) beside heed::dlhb(q)");
    return one_type && one_rank && one_order;
  }
}

// True where the score S, bound to a head, has a derivative; else a compile error.
template <class S>
consteval bool check_derivative() {
  using Bound = decltype(score::bind(as_score(std::declval<const S&>()), Shape{}, 0, 0));
  static_assert(score::DifferentiableScore<Bound>,
                "heed: this score has no derivative, so there is no backward call: give it a "
                "member derivative(s, i, j), or pass score::with_derivative(value, derivative)");
  return score::DifferentiableScore<Bound>;
}

// True where X holds a result of q's element type, or of what it is summed in.
template <class X, class Q>
consteval bool check_result_type() {
  using Out = ScalarOf<decltype(X::out)>;
  constexpr bool good = std::is_same_v<Out, ScalarOf<Q>> || std::is_same_v<Out, Accum<ScalarOf<Q>>>;
  static_assert(good,
                "heed: result.out must have the element type of q, or be float beside a half type");
  return good;
}

template <class DOut, class Q, class S>
concept RightGradientTypes = check_d_out_type<DOut, Q>() && check_derivative<S>();

// Throws heed::Error where x, d_out or result.out, is not [B, Hq, Lq, Dv].
template <class T>
void check_shape_of_out(const char* call, const char* name, const View<const T, 4>& x,
                        const Shape& shape) {
  require(x.extent[0] == shape.B && x.extent[1] == shape.Hq && x.extent[2] == shape.Lq &&
              x.extent[3] == shape.Dv,
          call, "d_out and result.out must be [B, Hq, Lq, Dv]", [&] {
            return std::string(name) + " " + to_string(x) + ", out [" + std::to_string(shape.B) +
                   "," + std::to_string(shape.Hq) + "," + std::to_string(shape.Lq) + "," +
                   std::to_string(shape.Dv) + "]";
          });
}

}  // namespace HEED_ABI
}  // namespace heed
