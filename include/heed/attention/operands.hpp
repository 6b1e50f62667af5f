// From a user's call to a checked Problem: types, shapes, mask, score, options. Needs no Eigen.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "heed/attention/problem.hpp"
#include "heed/core/check.hpp"
#include "heed/core/tensor.hpp"
#include "heed/mask/combine.hpp"
#include "heed/score/combine.hpp"

namespace heed {

using mask::as_mask;
using score::as_score;

inline namespace HEED_ABI {

// The compile errors of every call, by name.
template <class Q, class K, class V, class M, class S>
consteval void check_types() {
  static_assert(TensorLike<Q> && TensorLike<K> && TensorLike<V>,
                "heed: q, k and v must be Eigen tensors, matrices or maps in memory (evaluate "
                "expressions first), or heed::view(pointer, shape)");
  if constexpr (TensorLike<Q> && TensorLike<K> && TensorLike<V>) {
    static_assert(
        std::is_same_v<ScalarOf<Q>, ScalarOf<K>> && std::is_same_v<ScalarOf<Q>, ScalarOf<V>>,
        "heed: q, k and v must have the same element type");
    static_assert(AttentionElement<ScalarOf<Q>>,
                  "heed: elements must be float, double, heed::Half or heed::BFloat16");
    static_assert(rank_of<Q> == rank_of<K> && rank_of<Q> == rank_of<V>,
                  "heed: q, k and v must have the same rank");
    static_assert(rank_of<Q> >= 2 && rank_of<Q> <= 4,
                  "heed: tensors are [B, H, L, D], [B, L, D] or [L, D]");
  }
  static_assert(mask::MaskLike<M>,
                "heed: the mask must satisfy heed::mask::Mask or be callable as (i, j) or "
                "(b, h, i, j) -> bool");
  static_assert(score::ScoreLike<S>,
                "heed: the score must satisfy heed::score::Score or be callable as (s, i, j) or "
                "(s, b, h, i, j) -> float");
}

// The shape of a call. Throws heed::Error for whatever the contract refuses.
template <class Q, class K, class V, class M, class S>
Shape check_call(const char* call, const Q& q, const K& k, const V& v, const M& mask,
                 const S& score, const Options& options) {
  const Shape shape = check_operands(call, view_of(q), view_of(k), view_of(v));
  check_options(call, options);
  using R = Accum<ScalarOf<Q>>;
  if (std::abs(scale_of(options, shape)) > double{std::numeric_limits<R>::max()}) {
    throw Error(std::string(call) + ": the scale is not finite as a " + Element<R>::name +
                ", in which q of " + Element<ScalarOf<Q>>::name + " is multiplied");
  }
  mask::check(mask, shape);
  score::check(score, shape);
  return shape;
}

// Throws heed::Error where lse is not [B, Hq, Lq].
template <class R, class T>
void check_rows(const char* call, const View<R, 3>& lse, const Shape& shape,
                const View<const T, 4>& q) {
  if (lse.extent[0] == shape.B && lse.extent[1] == shape.Hq && lse.extent[2] == shape.Lq) return;
  throw Error(std::string(call) + ": lse " + to_string(lse) + " is not [B,Hq,Lq] of q " +
              to_string(q));
}

// The problem of a checked call, results not yet set.
template <class Q, class K, class V>
Problem<ScalarOf<Q>> make_problem(const Q& q, const K& k, const V& v, const Shape& shape,
                                  const Options& options) {
  return {lift(view_of(q)),
          lift(view_of(k)),
          lift(view_of(v)),
          {nullptr, {}, {}},
          {nullptr, {}, {}},
          {nullptr, {}, {}},
          shape,
          scale_of(options, shape),
          Dropout::of(options.dropout, options.seed)};
}

}  // namespace HEED_ABI
}  // namespace heed
