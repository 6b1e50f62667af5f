// Self-attention of a module to a cache: the tokens of a call stand behind those that it holds.
#pragma once

#include <vector>

#include "heed/attention/over_source.hpp"
#include "heed/kv/source.hpp"

namespace heed::nn {

// kv::Cache or kv::PagedCache: a source that grows by appending, and takes it back.
template <class C>
concept GrowingCache = kv::HasExtents<C> && requires(C& cache, Index n) {
  { cache.length(n) } -> std::convertible_to<Index>;
  cache.truncate(n, n);
};

inline namespace HEED_ABI {

// A way to attend (AttendHere): appends k and v to the cache, then attends to all that it holds.
// Where attention throws, the cache is as it was.
//
//   cache  [B, kv_heads, length(b), head_dim]   refers to it
template <GrowingCache C>
struct AttendCache {
  C& cache;

  // The positions [B · L] of L more tokens of each sequence. Throws heed::Error for another batch.
  std::vector<Index> positions(Index B, Index L) const {
    const kv::Extents of = cache.extents();
    require_equal(of.B, B, "the cache has batch", "x has batch", "heed::nn::AttendCache",
                  [&] { return "the cache's " + kv::to_string(of); });
    std::vector<Index> found;
    found.reserve(static_cast<std::size_t>(checked_product(B, L)));
    for (Index b = 0; b < B; ++b) {
      for (Index i = 0; i < L; ++i) found.push_back(cache.length(b) + i);
    }
    return found;
  }

  template <class Out, class Q, class K, class V, class M, class S>
  void operator()(Out&& out, const Q& q, const K& k, const V& v, const M& mask, const S& score,
                  const heed::Options& options) const {
    const Index tokens = lift(view_of(k)).extent[2];
    cache.append(k, v);
    try {
      attention_into(out, q, cache, mask, score, options);
    } catch (...) {
      for (Index b = 0; b < cache.extents().B; ++b) cache.truncate(b, cache.length(b) - tokens);
      throw;
    }
  }
};
template <class C>
AttendCache(C&) -> AttendCache<C>;  // clang 14 does not deduce it by itself

}  // namespace HEED_ABI
}  // namespace heed::nn
