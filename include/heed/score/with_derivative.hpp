// A score of two callables, its value and its derivative: a lambda that gradients flow through.
#pragma once

#include "heed/score/score.hpp"

namespace heed::score {
inline namespace HEED_ABI {

// Both bound to a batch and a head.
template <class F, class D>
struct BoundPair {
  BoundFunction<F> of_value;
  BoundFunction<D> of_derivative;

  template <class R>
  R value(R s, int i, int j) const {
    return of_value.value(s, i, j);
  }
  template <class R>
  R derivative(R s, int i, int j) const {
    return of_derivative.value(s, i, j);
  }
};

}  // namespace HEED_ABI

template <class F, class D>
struct WithDerivative {
  static_assert(takes_score_first<F>() && takes_score_first<D>() && !is_position<F>,
                "heed: the score comes first, as a floating-point number: (s, i, j) or "
                "(s, b, h, i, j) -> float");
  F of_value;
  D of_derivative;

  BoundPair<F, D> bind(const Shape&, Index b, Index h) const {
    const int batch = static_cast<int>(b), head = static_cast<int>(h);
    return {{&of_value, batch, head}, {&of_derivative, batch, head}};
  }
};

inline namespace HEED_ABI {

// value(s, i, j) or value(s, b, h, i, j) is the modified score, derivative(…) of the same arguments
// its derivative by s, at the s that value was given. Neither is checked against the other:
// inspect::gradcheck does.
template <class F, class D>
requires(ScoreOfPair<F> || ScoreOfPlace<F>) &&
    (ScoreOfPair<D> ||
     ScoreOfPlace<D>)constexpr WithDerivative<F, D> with_derivative(const F& value,
                                                                    const D& derivative) {
  return {value, derivative};
}

}  // namespace HEED_ABI
}  // namespace heed::score
