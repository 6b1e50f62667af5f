// first >> second: the second score modifies what the first one gives.
#pragma once

#include <tuple>
#include <utility>

#include "heed/score/score.hpp"
#include "heed/score/to_device.hpp"
#include "heed/score/with_gradient.hpp"

namespace heed::score {

template <Score A, Score B>
struct Then {
  static constexpr bool unit_derivative = score::unit_derivative<A> && score::unit_derivative<B>;

  A first;
  B second;

  template <class R>
  HEED_DEVICE constexpr R value(R s, int i, int j) const requires BoundScore<A> && BoundScore<B> {
    return second.value(static_cast<R>(first.value(s, i, j)), i, j);
  }
  template <class R>
  [[gnu::always_inline]] void modify(R* s, int i, int j,
                                     int keys) const requires BoundScore<A> && BoundScore<B> {
    score::modify(first, s, i, j, keys);
    score::modify(second, s, i, j, keys);
  }
  template <class R>
  HEED_DEVICE constexpr R derivative(R s, int i, int j) const requires DifferentiableScore<A> &&
      DifferentiableScore<B> {
    return second.derivative(static_cast<R>(first.value(s, i, j)), i, j) *
           first.derivative(s, i, j);
  }
  HEED_DEVICE auto bind(const Shape& shape, Index b, Index h) const {
    auto one = score::bind(first, shape, b, h);
    auto two = score::bind(second, shape, b, h);
    return Then<decltype(one), decltype(two)>{one, two};
  }
  template <class Arena>
  auto to_device(Arena& arena) const {
    auto one = score::to_device(first, arena);
    auto two = score::to_device(second, arena);
    return Then<decltype(one), decltype(two)>{one, two};
  }
  [[gnu::always_inline]] auto gradients(const Shape& shape) const {
    return std::tuple_cat(score::gradients(first, shape), score::gradients(second, shape));
  }
  void check(const Shape& shape) const {
    score::check(first, shape);
    score::check(second, shape);
  }
};

template <class S>
using AsScore = std::remove_cvref_t<decltype(as_score(std::declval<const S&>()))>;

inline namespace HEED_ABI {

template <ScoreLike A, ScoreLike B>
constexpr Then<AsScore<A>, AsScore<B>> operator>>(const A& first, const B& second) {
  return {as_score(first), as_score(second)};
}

}  // namespace HEED_ABI
}  // namespace heed::score
