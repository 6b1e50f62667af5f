// The public calls: heed::attention, attention_into, workspace_bytes.
#pragma once

#include <type_traits>

#include "heed/attention/operands.hpp"
#include "heed/attention/result.hpp"
#include "heed/attention/run.hpp"
#include "heed/core/eigen.hpp"

namespace heed {

inline namespace HEED_ABI {

// out = softmax(mask(modify(scale · q kᵀ))) v, row by row, without forming the scores.
//
//   q    [B, Hq,  Lq, D]     or [B, L, D] (one head), or [L, D]; heed::blhd(q) for [B, L, H, D],
//   k    [B, Hkv, Lk, D]     heed::dlhb(q) for [D, L, H, B]
//   v    [B, Hkv, Lk, Dv]    Hq % Hkv == 0: grouped-query attention
//
// Returns {out, lse}: out [B, Hq, Lq, Dv] in q's layout and rank, 0 where a row sees no key;
// lse [B, Hq, Lq], natural log, −inf there. The contract (README) says what every edge case does.
//
// Throws heed::Error if shapes disagree. Time O(Lq·Lk·D); scratch O(threads · tile · D), one
// allocation a call. Dao, FlashAttention-2 (2023), Algorithm 1.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
auto attention(const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
               const Options& options = {}) {
  using T = ScalarOf<Q>;
  using Traits = TraitsOf<Q>;
  const Shape shape =
      check_call("heed::attention", q, k, v, as_mask(mask), as_score(score), options);
  check_on_cpu("heed::attention", options.backend);
  Result<typename Traits::template Owned<T>, typename Traits::template Rows<Accum<T>>> result{
      make_like<T>(q, shape), make_rows<Q, Accum<T>>(shape.B, shape.Hq, shape.Lq)};
  auto problem = make_problem(q, k, v, shape, options);
  problem.out = lift(Traits::template owned_view<T>(result.out));
  problem.lse = lift_rows(Traits::template rows_view<Accum<T>>(result.lse));
  run(problem, as_mask(mask), as_score(score), options);
  return result;
}

// The memory that a call writes: `out`, checked, and its lse where it is a Result.
template <class Q, class Out>
void set_output(const char* call, Problem<ScalarOf<Q>>& problem, Out& out, const Q& q,
                const View<const ScalarOf<Q>, rank_of<Q>>& k,
                const View<const ScalarOf<Q>, rank_of<Q>>& v) {
  using T = ScalarOf<Q>;
  using Traits = TraitsOf<Q>;
  const auto write_to = [&](const auto& view) {
    constexpr bool rounded = std::is_same_v<decltype(view.data), T*>;
    static_assert(rounded || std::is_same_v<decltype(view.data), Accum<T>*>,
                  "heed::attention_into: out must be writable and of q's element type, or float "
                  "beside a half type");
    check_output(call, view, problem.shape, view_of(q), k, v);
    if constexpr (rounded) {
      problem.out = lift(view);
    } else {
      problem.unrounded_out = lift(view);
    }
  };
  if constexpr (is_result<std::remove_cvref_t<Out>>) {
    write_to(Traits::template owned_view<ScalarOf<decltype(out.out)>>(out.out));
    problem.lse = lift_rows(Traits::template rows_view<Accum<T>>(out.lse));
    check_rows(call, problem.lse, problem.shape, problem.q);
  } else {
    static_assert(TensorLike<Out>, "heed::attention_into: out is no tensor that heed can view");
    write_to(mutable_view_of(out));
  }
}

// attention into memory the caller has: `out` is a tensor [B, Hq, Lq, Dv] of any layout, or a
// Result of an earlier call, whose lse is then written too. Of half types out may be float: it is
// not rounded then, and attention_backward is faster with it. Allocates no results, and with
// options.workspace nothing at all. Throws heed::Error also where out has another shape or overlaps
// an input.
template <class Out, class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
void attention_into(Out&& out, const Q& q, const K& k, const V& v, const M& mask = {},
                    const S& score = {}, const Options& options = {}) {
  constexpr const char* call = "heed::attention_into";
  const Shape shape = check_call(call, q, k, v, as_mask(mask), as_score(score), options);
  check_on_cpu(call, options.backend);
  auto problem = make_problem(q, k, v, shape, options);
  set_output(call, problem, out, q, view_of(k), view_of(v));
  run(problem, as_mask(mask), as_score(score), options);
}

// Bytes that options.workspace must have for this call to allocate nothing.
// Throws heed::Error as attention does.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S> std::size_t workspace_bytes(const Q& q, const K& k, const V& v,
                                                               const M& mask = {},
                                                               const S& score = {},
                                                               const Options& options = {}) {
  const Shape shape =
      check_call("heed::workspace_bytes", q, k, v, as_mask(mask), as_score(score), options);
  check_on_cpu("heed::workspace_bytes", options.backend);
  const bool together = contiguous(lift(view_of(k)), lift(view_of(v)));
  const Shape read = strided_keys(shape, key_stride_of(as_mask(mask), options));
  const Index bytes = make_plan<ScalarOf<Q>>(read, together, true, options).scratch_bytes;
  return Scratch::with_slack(static_cast<std::size_t>(bytes));
}

}  // namespace HEED_ABI
}  // namespace heed
