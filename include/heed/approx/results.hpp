// Results of approximations, made for the problem that writes them.
#pragma once

#include "heed/attention/problem.hpp"
#include "heed/attention/result.hpp"
#include "heed/core/eigen.hpp"

namespace heed::approx {

// Of methods without a log-sum-exp.
template <class Out>
struct Output {
  Out out;  // [B, Hq, Lq, Dv] in q's layout and rank
};

inline namespace HEED_ABI {

// True where a call has no rows, however many heads it has.
constexpr bool has_no_rows(const Shape& shape) {
  return shape.B == 0 || shape.Hq == 0 || shape.Lq == 0;
}

// {out} in q's layout, unwritten; problem.out is a view of it.
template <class Q, class T>
auto output_for(const Q& q, Problem<T>& problem) {
  using Traits = TraitsOf<Q>;
  Output<typename Traits::template Owned<T>> output{make_like<T>(q, problem.shape)};
  problem.out = lift(Traits::template owned_view<T>(output.out));
  return output;
}

// {out, lse}; problem.out and problem.lse are views of them.
template <class Q, class T>
auto result_for(const Q& q, Problem<T>& problem) {
  using Traits = TraitsOf<Q>;
  const Shape& shape = problem.shape;
  Result<typename Traits::template Owned<T>, typename Traits::template Rows<Accum<T>>> result{
      make_like<T>(q, shape), make_rows<Q, Accum<T>>(shape.B, shape.Hq, shape.Lq)};
  problem.out = lift(Traits::template owned_view<T>(result.out));
  problem.lse = lift_rows(Traits::template rows_view<Accum<T>>(result.lse));
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
