// approx::top_k of queries over a source of keys and values (kv/source.hpp), a cache say: decoding
// in which each row attends to its best keys alone.
#pragma once

#include <utility>

#include "heed/approx/top_k/top_k.hpp"
#include "heed/attention/over_source.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// top_k(q, k, v, keep, …) with the keys and values of `source`.
//
//   q       [B, Hq, Lq, D], or rank 3 or 2
//   source  keys [B, Hkv, length(b), D] and values [B, Hkv, length(b), Dv]
//
// Returns {out, lse}; a sequence longer than keep has the bits of the call over its dense keys.
// From the longest length on it is heed::attention(q, source, …). Masks count keys as there. A
// cache of codes does not compile: single keys of it are not read. Throws heed::Error as
// heed::attention over a source does, and for a negative keep.
template <class Q, class K, class M = mask::None, class S = score::None>
requires RightSourceTypes<Q, K, M, S>
auto top_k(const Q& q, const K& source, Index keep, const M& mask = {}, const S& score = {},
           const Options& options = {}) {
  static_assert(
      !kv::CodeSource<decltype(std::declval<const K&>().bind(Shape{}, Index{}, Index{}))>,
      "heed::approx::top_k: the cache must keep float, double, half or bfloat16, not codes");
  constexpr const char* call = "heed::approx::top_k";
  const heed::Options common = options.common();
  auto problem = make_source_problem(call, q, source, as_mask(mask), as_score(score), common);
  check_keep(call, keep);
  auto result = result_for(q, problem);
  if (has_no_rows(problem.shape)) return result;
  if (keep >= problem.shape.Lk) {
    run_over(problem, source, as_mask(mask), as_score(score), common);
  } else if (keep == 0) {
    clear(result);
  } else {
    run_top_k(problem, source, static_cast<int>(keep), as_mask(mask), as_score(score), options);
  }
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
