// A call whose mask sees every n-th key at most, as a call over those keys alone.
#pragma once

#include "heed/attention/problem.hpp"
#include "heed/mask/key_stride.hpp"
#include "heed/score/chain_rule.hpp"

namespace heed {

// Refers to a mask of the call with all keys.
template <mask::Mask M>
struct StridedKeysMask {
  const M& mask;
  Shape shape;  // of that call
  int step;

  auto bind(const Shape&, Index b, Index h) const {
    auto bound = mask::bind(mask, shape, b, h);
    return mask::BoundStridedKeys<decltype(bound)>{bound, step};
  }
};

template <score::BoundScore S>
struct BoundStridedKeysScore {
  static constexpr bool unit_derivative = score::unit_derivative<S>;

  S score;
  int step;

  template <class R>
  [[gnu::always_inline]] R value(R s, int i, int c) const {
    return static_cast<R>(score.value(s, i, c * step));
  }
  template <class R>
  [[gnu::always_inline]] R derivative(R s, int i,
                                      int c) const requires score::DifferentiableScore<S> {
    return static_cast<R>(score.derivative(s, i, c * step));
  }
};

template <score::Score S>
struct StridedKeysScore {
  const S& score;
  Shape shape;
  int step;

  auto bind(const Shape&, Index b, Index h) const {
    auto bound = score::bind(score, shape, b, h);
    return BoundStridedKeysScore<decltype(bound)>{bound, step};
  }
  [[gnu::always_inline]] auto gradients(const Shape&) const {
    return score::gradients(score, shape);
  }
};

inline namespace HEED_ABI {

template <class S>
auto strided_keys_score(const S& score, const Shape& shape, int step) {
  if constexpr (std::is_same_v<S, score::None>)
    return score;
  else
    return StridedKeysScore<S>{score, shape, step};
}

inline Shape strided_keys(Shape shape, int step) {
  shape.Lk = (shape.Lk + step - 1) / step;
  return shape;
}

template <class T>
View<T, 4> take_every(View<T, 4> x, int step) {
  x.extent[2] = (x.extent[2] + step - 1) / step;
  x.stride[2] *= step;
  return x;
}

template <class T>
Problem<T> strided_keys(Problem<T> problem, int step) {
  problem.shape = strided_keys(problem.shape, step);
  problem.k = take_every(problem.k, step);
  problem.v = take_every(problem.v, step);
  problem.dropout.step = static_cast<std::uint32_t>(step);
  return problem;
}

}  // namespace HEED_ABI

// Key by key: rows of parameters lie as far apart as the keys do.
template <class S>
struct score::ChainRule<StridedKeysScore<S>> {
  template <std::size_t First, int, class Bound, class Sums, class R>
  [[gnu::always_inline]] static void row(const Bound& score, const Sums& sums, R* d, const R* s,
                                         int i, int j, int keys) {
    for (int c = 0; c < keys; ++c) {
      ChainRule<S>::template row<First, 1>(score.score, sums, d + c, s + c, i, (j + c) * score.step,
                                           1);
    }
  }
};

}  // namespace heed
