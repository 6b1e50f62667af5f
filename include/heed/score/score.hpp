// The score contract: what happens to scale·q·k before the mask and the softmax.
//
// A score is a function: `value(s, i, j)` is the modified score of query i and key j,
// `derivative(s, i, j)` its derivative by s at the same s, which the backward pass wants.
// A score that depends on the shape, the batch or the head answers after `bind(shape, b, h)`, h the
// query head; what it returns may refer to the score, which must stay. `check(shape)`, where there
// is one, throws heed::Error before anything is computed.
// A modified score of −inf counts as masked. A score must be total: it is asked for pairs that the
// mask hides, too (asking the mask first would keep its loop from being vectorised). Its answer for
// a hidden pair, NaN or not, is not used; it must not throw there or read out of bounds. A callable
// (s, i, j) or (s, b, h, i, j) -> float is a score too; it is forward only, having no derivative.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "heed/core/bindable.hpp"
#include "heed/core/device.hpp"
#include "heed/core/shape.hpp"
#include "heed/core/tensor.hpp"

namespace heed::score {

using bindable::bind;
using bindable::check;

template <class S>
concept BoundScore = requires(const S& score, float s, int i, int j) {
  { score.value(s, i, j) } -> std::convertible_to<float>;
};

template <class S>
concept BindableScore = requires(const S& score, const Shape& shape, Index b, Index h) {
  { score.bind(shape, b, h) } -> BoundScore;
};

template <class S>
concept Score = BoundScore<S> || BindableScore<S>;

template <class S>
concept DifferentiableScore = BoundScore<S> && requires(const S& score, float s, int i, int j) {
  { score.derivative(s, i, j) } -> std::convertible_to<float>;
};

// True where the derivative is 1 whatever the score, and so need not be asked for: the type says so
// by a member unit_derivative.
template <class S>
inline constexpr bool unit_derivative = requires {
  requires std::remove_cvref_t<S>::unit_derivative;
};

// A copy of the function is called from several threads. A tensor may be callable, and is none;
// what answers yes or no is a mask.
template <class F, class... Place>
concept ScoreFunction =
    !Score<F> && !HoldsNumbers<F> && std::copy_constructible<std::decay_t<F>> &&
    std::is_invocable_r_v<float, const F&, float, Place...> &&
    !std::is_same_v<std::remove_cvref_t<std::invoke_result_t<const F&, float, Place...>>, bool>;

template <class F>
concept ScoreOfPair = ScoreFunction<F, int, int>;

template <class F>
concept ScoreOfPlace = ScoreFunction<F, int, int, int, int>;

template <class S>
concept ScoreLike = Score<S> || ScoreOfPair<S> || ScoreOfPlace<S>;

// The score as it is.
struct None {
  static constexpr bool unit_derivative = true;

  template <class R>
  HEED_DEVICE constexpr R value(R s, int, int) const {
    return s;
  }
  template <class R>
  HEED_DEVICE constexpr R derivative(R, int, int) const {
    return R(1);
  }
};

// A callable bound to a batch and a head. For double tensors it is as exact as its parameter type:
// a float parameter narrows, as its author asked, and must not warn in every file that does so.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wfloat-conversion"
inline namespace HEED_ABI {

template <class F>
struct BoundFunction {
  const F* function;
  int b, h;

  template <class R>
  R value(R s, int i, int j) const {
    if constexpr (std::is_invocable_v<const F&, R, int, int>) {
      return static_cast<R>((*function)(s, i, j));
    } else {
      return static_cast<R>((*function)(s, b, h, i, j));
    }
  }
};

}  // namespace HEED_ABI
#pragma GCC diagnostic pop

// The first parameter of a callable; of several overloads or a template there is none to name.
template <class R, class S, class... Place>
S first_parameter(R (*)(S, Place...));
template <class R, class F, class S, class... Place>
S first_parameter(R (F::*)(S, Place...) const);

// True where a generic callable returns a whole number for the sole reason that positions are: it
// takes one of them for the score.
template <class F, class... Place>
consteval bool returns_position() {
  if constexpr (std::is_invocable_v<const F&, float, Place...> &&
                std::is_invocable_v<const F&, float, decltype(Place{} + 0.0F)...>) {
    return std::is_integral_v<
               std::remove_cvref_t<std::invoke_result_t<const F&, float, Place...>>> &&
           std::is_floating_point_v<std::remove_cvref_t<
               std::invoke_result_t<const F&, float, decltype(Place{} + 0.0F)...>>>;
  } else {
    return false;
  }
}

// False where a callable's first parameter is a whole number, as of (b, h, s, i, j): the score
// would be converted to it.
template <class F>
consteval bool takes_score_first() {
  if constexpr (requires { first_parameter(&F::operator()); }) {
    return !std::is_integral_v<std::remove_cvref_t<decltype(first_parameter(&F::operator()))>>;
  } else if constexpr (requires(F f) { first_parameter(f); }) {
    return !std::is_integral_v<std::remove_cvref_t<decltype(first_parameter(std::declval<F>()))>>;
  } else {
    return true;
  }
}

template <class F>
inline constexpr bool is_position =
    returns_position<F, int, int>() || returns_position<F, int, int, int, int>();

template <class F>
struct Function {
  static_assert(takes_score_first<F>() && !is_position<F>,
                "heed: the score comes first, as a floating-point number: (s, i, j) or "
                "(s, b, h, i, j) -> float");
  F function;

  BoundFunction<F> bind(const Shape&, Index b, Index h) const {
    return {&function, static_cast<int>(b), static_cast<int>(h)};
  }
};

inline namespace HEED_ABI {

// No score, for where a macro of another header is called None.
constexpr None none() { return {}; }

// A score as it is; a callable as a score.
template <Score S>
constexpr const S& as_score(const S& score) {
  return score;
}
template <class F>
requires ScoreOfPair<F> || ScoreOfPlace<F>
constexpr Function<std::decay_t<F>> as_score(const F& function) { return {function}; }

// s[c] becomes the modified score of query i and key j + c. A score may
// define `modify(s, i, j, keys)` to process a whole row.
template <BoundScore S, class R>
[[gnu::always_inline]] inline void modify(const S& score, R* s, int i, int j, int keys) {
  if constexpr (requires { score.modify(s, i, j, keys); }) {
    score.modify(s, i, j, keys);
  } else {
    for (int c = 0; c < keys; ++c) s[c] = static_cast<R>(score.value(s[c], i, j + c));
  }
}

}  // namespace HEED_ABI
}  // namespace heed::score
