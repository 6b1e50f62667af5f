// approx::lsh of queries over a source of keys and values (kv/source.hpp): a prompt's queries over
// the cache that holds its keys.
#pragma once

#include <utility>

#include "heed/approx/lsh/lsh.hpp"
#include "heed/attention/over_source.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// lsh(q, k, v, …) with the keys and values of `source`.
//
//   q       [B, Hq, Lq, D], or rank 3 or 2
//   source  keys [B, Hkv, length(b), D] and values [B, Hkv, length(b), Dv]
//
// Returns {out, lse} with the bits of calls over each sequence's dense keys with as many buckets,
// or, where the source does not count from its lengths (kv/source.hpp), over padded keys; without
// a number there are those of the longest. Masks count keys as in heed::attention over a
// source. A cache of codes does not compile: single keys of it are not read. Throws heed::Error as
// heed::attention over a source does, and for a hashing that lsh refuses.
//
// Every call hashes all keys: for a few queries exact attention is cheaper.
template <class Q, class K, class M = mask::None>
requires RightSourceTypes<Q, K, M, score::None>
auto lsh(const Q& q, const K& source, const LshOptions& hashing = {}, const M& mask = {},
         const Options& options = {}) {
  static_assert(
      !kv::CodeSource<decltype(std::declval<const K&>().bind(Shape{}, Index{}, Index{}))>,
      "heed::approx::lsh: the cache must keep float, double, half or bfloat16, not codes");
  check_lsh_mask<M>();
  constexpr const char* call = "heed::approx::lsh";
  auto problem = make_source_problem(call, q, source, mask, score::None{}, options.common());
  const LshOptions checked = checked_hashing(call, hashing, problem.shape.Lk);
  auto result = result_for(q, problem);
  if (has_no_rows(problem.shape)) return result;
  run_lsh(problem, source, checked, mask, false, {options.threads, options.executor});
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
