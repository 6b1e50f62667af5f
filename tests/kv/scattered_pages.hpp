// Paged caches whose pages lie apart, though a pool hands out 256 tokens that lie together.
#pragma once

#include <vector>

#include "heed/kv/paged_cache.hpp"

namespace heed::test {

// An empty cache with n free pages, of which none lie together: others hold every second page of
// its pool.
template <class T>
struct ScatteredPages {
  ScatteredPages(const kv::Extents& extents, Index page, Index n)
      : cache(extents, {.page = page, .pages = 2 * n}) {
    const Tensor4<float> k(1, extents.Hkv, page, extents.D), v(1, extents.Hkv, page, extents.Dv);
    for (Index at = 0; at < 2 * n; ++at) {
      others.push_back(cache.fork({0}));
      if constexpr (kv::is_latent<T>) {
        others.back().append(k);
      } else {
        others.back().append(k, v);
      }
    }
    for (auto& other : others) {
      if (other.bind({}, 0, 0).pages.front() % 2 == 0) other.truncate(0, 0);
    }
  }

  kv::PagedCache<T> cache;
  std::vector<kv::PagedCache<T>> others;
};

// Pieces of memory that hold sequence b.
template <class T>
int pieces_of(const kv::PagedCache<T>& cache, Index b) {
  int pieces = 0;
  cache.bind({}, b, 0).for_each_run_of_pages(0, cache.length(b),
                                             [&](Index, Index, Index) { ++pieces; });
  return pieces;
}

}  // namespace heed::test
