// Backward through a score: the gradient of its value becomes that of the score it was given, and
// each score on the way adds to the gradient of what it holds.
#pragma once

#include <algorithm>
#include <tuple>

#include "heed/score/at.hpp"
#include "heed/score/combine.hpp"
#include "heed/score/with_gradient.hpp"

namespace heed::score {

// Of one head: where a score's parameters are summed.
template <class P, bool CanBeApart>
struct HeadSums {
  View<P, 2> in_place;   // [m, n], stride 0 along shared axes; without data where sums are double
  View<double, 2> sums;  // [m, n]
};

inline namespace HEED_ABI {

template <class X, class S, class R>
[[gnu::always_inline]] inline void add_row_gradient(const S& score, const View<X, 2>& sums,
                                                    const R* d, const R* s, int i, int j,
                                                    int keys) {
  if constexpr (requires { score.add_gradient(sums, d, s, i, j, keys); }) {
    score.add_gradient(sums, d, s, i, j, keys);
  } else {
    for (int c = 0; c < keys; ++c) {
      if (d[c] != R(0)) score.add_gradient(sums, double{d[c]}, double{s[c]}, i, j + c);
    }
  }
}

template <class P, bool CanBeApart, class S, class R>
[[gnu::always_inline]] inline void add_row_gradient(const S& score,
                                                    const HeadSums<P, CanBeApart>& to, const R* d,
                                                    const R* s, int i, int j, int keys) {
  if constexpr (CanBeApart) {
    if (to.in_place.data != nullptr) {
      return add_row_gradient(score, to.in_place, d, s, i, j, keys);
    }
  }
  add_row_gradient(score, to.sums, d, s, i, j, keys);
}

// s[c] becomes the modified score of query i and key j + c, slopes[c] its derivative by the s
// before. One loop has both: a compiler computes once what they share, the tanh of a soft cap for
// one.
//   Most  keys at most
template <int Most, class S, class R>
[[gnu::always_inline]] inline void modify_with_slopes(const S& score, R* s, R* slopes, int i, int j,
                                                      int keys) {
  if constexpr (unit_derivative<S>) {
    for (int c = 0; c < keys; ++c) slopes[c] = R(1);
    modify(score, s, i, j, keys);
  } else {
    for (int c = 0; c < keys; ++c) {
      const R before = s[c];
      slopes[c] = static_cast<R>(score.derivative(before, i, j + c));
      s[c] = static_cast<R>(score.value(before, i, j + c));
    }
  }
}

template <int Most, class A, class B, class R>
[[gnu::always_inline]] inline void modify_with_slopes(const Then<A, B>& score, R* s, R* slopes,
                                                      int i, int j, int keys) {
  if constexpr (unit_derivative<B>) {
    modify_with_slopes<Most>(score.first, s, slopes, i, j, keys);
    modify(score.second, s, i, j, keys);
  } else if constexpr (unit_derivative<A>) {
    modify(score.first, s, i, j, keys);
    modify_with_slopes<Most>(score.second, s, slopes, i, j, keys);
  } else {
    R of_second[static_cast<std::size_t>(Most)];
    modify_with_slopes<Most>(score.first, s, slopes, i, j, keys);
    modify_with_slopes<Most>(score.second, s, of_second, i, j, keys);
    for (int c = 0; c < keys; ++c) slopes[c] *= of_second[c];
  }
}

// S is a score as the user passed it, Bound what it binds; `row` takes d, the gradient of the
// values, to that of the scores s of query i and the keys [j, j + keys). The sums of its parameters
// start at element First of the tuple. d stays 0 where it is 0: masked, among others. s is not read
// where every derivative is 1: a parameter's derivative then can't depend on it.
template <class S>
struct ChainRule {
  template <std::size_t First, int Most, class Bound, class Sums, class R>
  [[gnu::always_inline]] static void row(const Bound& score, const Sums&, R* d, const R* s, int i,
                                         int j, int keys) {
    static_assert(gradient_count<S> == 0,
                  "heed: a score of your own that holds scores can't pass their gradients on: "
                  "chain them with >>");
    if constexpr (!unit_derivative<Bound>) {
      for (int c = 0; c < keys; ++c) {
        const R slope = static_cast<R>(score.derivative(s[c], i, j + c));
        d[c] = select(d[c] == R(0), R(0), d[c] * slope);
      }
    }
  }
};

template <class S, class P>
struct ChainRule<WithGradient<S, P>> {
  template <std::size_t First, int Most, class Bound, class Sums, class R>
  [[gnu::always_inline]] static void row(const Bound& score, const Sums& sums, R* d, const R* s,
                                         int i, int j, int keys) {
    add_row_gradient(score, std::get<First>(sums), d, s, i, j, keys);
    ChainRule<S>::template row<First, Most>(score, sums, d, s, i, j, keys);
  }
};

template <class A, class B>
struct ChainRule<Then<A, B>> {
  template <std::size_t First, int Most, class Bound, class Sums, class R>
  [[gnu::always_inline]] static void row(const Bound& score, const Sums& sums, R* d, const R* s,
                                         int i, int j, int keys) {
    constexpr std::size_t second = First + gradient_count<A>;
    if constexpr (unit_derivative<decltype(score.second)>) {
      ChainRule<B>::template row<second, Most>(score.second, sums, d, s, i, j, keys);
    } else {
      R between[static_cast<std::size_t>(Most)];
      std::copy_n(s, keys, between);
      modify(score.first, between, i, j, keys);
      ChainRule<B>::template row<second, Most>(score.second, sums, d, between, i, j, keys);
    }
    ChainRule<A>::template row<First, Most>(score.first, sums, d, s, i, j, keys);
  }
};

template <class Offsets, class S>
struct ChainRule<At<Offsets, S>> : ChainRule<S> {};

}  // namespace HEED_ABI
}  // namespace heed::score
