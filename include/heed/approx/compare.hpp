// The error of an approximation against exact attention, in four numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <ostream>

#include "heed/core/check.hpp"
#include "heed/core/tensor.hpp"

namespace heed::approx {

struct Comparison {
  double max_error = 0;   // largest |exact − approximate|, in units of out
  double mean_error = 0;  // mean of the same
  double relative = 0;    // Frobenius norm of the difference by that of exact
  // Mean over the rows that see a key: how much of a row's exact weight lies on keys that the
  // approximation keeps. −1 where it is not known.
  double mass_kept = -1;
};

template <class X>
concept HasOut = requires(const X& x) {
  x.out;
};
template <class X>
concept HasWeights = requires(const X& x) {
  x.weights;
};

inline namespace HEED_ABI {

// f(exact, approximate) for every element. Throws heed::Error where the extents differ.
template <TensorLike A, TensorLike B, class F>
void for_each_pair(const char* what, const A& exact, const B& approximate, F&& f) {
  static_assert(rank_of<A> == rank_of<B>, "heed::approx::compare: the ranks differ");
  const auto x = lift(view_of(exact));
  const auto y = lift(view_of(approximate));
  if (!std::equal(x.extent, x.extent + 4, y.extent)) {
    refuse({"heed::approx::compare: exact ", what, " is ", extents_of(view_of(exact)),
            " but the approximate one is ", extents_of(view_of(approximate))});
  }
  if (x.empty()) return;
  for (Index b = 0; b < x.extent[0]; ++b) {
    for (Index h = 0; h < x.extent[1]; ++h) {
      for (Index i = 0; i < x.extent[2]; ++i) {
        for (Index d = 0; d < x.extent[3]; ++d) {
          f(static_cast<double>(x(b, h, i, d)), static_cast<double>(y(b, h, i, d)), d);
        }
      }
    }
  }
}

// The three errors of two tensors. A NaN in one of them makes them NaN.
template <TensorLike A, TensorLike B>
Comparison compare_tensors(const A& exact, const B& approximate) {
  Comparison result;
  double squares = 0, exact_squares = 0, count = 0;
  for_each_pair("out", exact, approximate, [&](double x, double y, Index) {
    const double error = std::abs(x - y);
    if (error > result.max_error || is_nan(error)) result.max_error = error;
    result.mean_error += error;
    squares += error * error;
    exact_squares += x * x;
    ++count;
  });
  if (count > 0) result.mean_error /= count;
  if (squares != 0) result.relative = std::sqrt(squares / exact_squares);
  return result;
}

// Σ of the exact weights of keys whose approximate weight is not 0, a mean over rows.
template <TensorLike A, TensorLike B>
double mass_of(const A& exact_weights, const B& approximate_weights) {
  double kept = 0, rows = 0, row = 0;
  const Index Lk = view_of(exact_weights).extent[rank_of<A> - 1];
  for_each_pair("weights", exact_weights, approximate_weights, [&](double x, double y, Index j) {
    row = (j == 0 ? 0 : row) + x;
    if (y != 0) kept += x;
    if (j + 1 == Lk && row != 0) ++rows;
  });
  return rows == 0 ? 1 : kept / rows;
}

// The errors of `approximate` against `exact`: two tensors, or two results with `out`. Where both
// have `weights` too (heed::reference's, say), also what share of the weight is kept.
// Throws heed::Error where their extents differ. Time O(size of the tensors), in double.
template <class A, class B>
Comparison compare(const A& exact, const B& approximate) {
  if constexpr (HasOut<A> && HasOut<B>) {
    Comparison result = compare_tensors(exact.out, approximate.out);
    if constexpr (HasWeights<A> && HasWeights<B>) {
      result.mass_kept = mass_of(exact.weights, approximate.weights);
    }
    return result;
  } else {
    static_assert(TensorLike<A> && TensorLike<B>,
                  "heed::approx::compare: wants two tensors, or two results with `out`");
    return compare_tensors(exact, approximate);
  }
}

// "max error 0.0123, mean 0.00456, relative 0.0789, mass kept 0.987"
inline std::ostream& operator<<(std::ostream& to, const Comparison& c) {
  to << "max error " << c.max_error << ", mean " << c.mean_error << ", relative " << c.relative;
  if (c.mass_kept >= 0) to << ", mass kept " << c.mass_kept;
  return to;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
