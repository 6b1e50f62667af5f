// Self-attention of a module to a cache: the tokens of a call stand behind those that it holds.
#pragma once

#include <concepts>
#include <utility>
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
    cache.append(k, v);
    attention_into(out, q, cache, mask, score, options);
  }
};
template <class C>
AttendCache(C&) -> AttendCache<C>;  // clang 14 does not deduce it by itself

// forward(AttendCache), a module's whole call. Where it throws, the cache has the tokens that it
// had; a page that a fork shares may have been copied.
template <GrowingCache C, class F>
auto forward_behind(C& cache, F&& forward) {
  static_assert(
      requires(const Tensor4<float>& x) { cache.append(x, x); },
      "heed::nn: a latent cache takes keys alone; pass a kv::Cache or kv::PagedCache of keys and "
      "values");
  std::vector<Index> lengths;
  for (Index b = 0; b < cache.extents().B; ++b) lengths.push_back(cache.length(b));
  try {
    return std::forward<F>(forward)(AttendCache<C>{cache});
  } catch (...) {
    for (Index b = 0; b < cache.extents().B; ++b) {
      cache.truncate(b, lengths[static_cast<std::size_t>(b)]);
    }
    throw;
  }
}

}  // namespace HEED_ABI
}  // namespace heed::nn
