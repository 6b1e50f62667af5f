// A call whose mask sees every n-th key at most, as a call over those keys alone.
#pragma once

#include "heed/attention/problem.hpp"
#include "heed/mask/key_stride.hpp"
#include "heed/score/score.hpp"

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
  S score;
  int step;

  template <class R>
  R value(R s, int i, int c) const {
    return static_cast<R>(score.value(s, i, c * step));
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
  return problem;
}

}  // namespace HEED_ABI
}  // namespace heed
