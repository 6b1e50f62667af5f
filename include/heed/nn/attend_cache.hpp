// Self-attention of a module to a cache: the tokens of a call stand behind those that it holds.
#pragma once

#include <concepts>
#include <span>
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
//   cache   [B, kv_heads, length(b), head_dim]   refers to it
//   erased  [B]   tokens before the next one that the cache holds no more; none: 0 of each
//
// The next token of sequence b stands at position length(b) + erased[b], so that the tokens around
// a gap (erase) are as far apart as they are in the text: for learned and rotary positions. Masks
// and scores that count distances, as window and alibi do, count the cache's tokens.
template <GrowingCache C>
struct AttendCache {
  C& cache;
  std::span<const Index> erased = {};

  // The positions [B · L] of L more tokens of each sequence. Throws heed::Error for another batch.
  std::vector<Index> positions(Index B, Index L) const {
    constexpr const char* call = "heed::nn::AttendCache";
    const kv::Extents of = cache.extents();
    const auto shapes = [&] { return "the cache's " + kv::to_string(of); };
    require_equal(of.B, B, "the cache has batch", "x has batch", call, shapes);
    const Index counts = erased.empty() ? B : std::ssize(erased);
    require_equal(counts, B, "erased has batch", "x has batch", call, shapes);
    std::vector<Index> found;
    found.reserve(static_cast<std::size_t>(checked_product(B, L)));
    for (Index b = 0; b < B; ++b) {
      const Index gap = erased.empty() ? 0 : erased[static_cast<std::size_t>(b)];
      for (Index i = 0; i < L; ++i) found.push_back(cache.length(b) + gap + i);
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
template <class C>
AttendCache(C&, std::span<const Index>) -> AttendCache<C>;

// forward(attend), a module's whole call. Where it throws, the cache has the tokens that it had; a
// page that a fork shares may have been copied.
template <GrowingCache C, class F>
auto forward_behind(const AttendCache<C>& attend, F&& forward) {
  C& cache = attend.cache;
  static_assert(
      requires(const Tensor4<float>& x) { cache.append(x, x); },
      "heed::nn: a latent cache takes keys alone; pass a kv::Cache or kv::PagedCache of keys and "
      "values");
  std::vector<Index> lengths;
  for (Index b = 0; b < cache.extents().B; ++b) lengths.push_back(cache.length(b));
  try {
    return std::forward<F>(forward)(attend);
  } catch (...) {
    for (Index b = 0; b < cache.extents().B; ++b) {
      cache.truncate(b, lengths[static_cast<std::size_t>(b)]);
    }
    throw;
  }
}

}  // namespace HEED_ABI
}  // namespace heed::nn
