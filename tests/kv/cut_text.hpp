// A text that is attended to in one call and in cuts, over caches of any kind.
#pragma once

#include <algorithm>

#include "heed/kv/cache.hpp"
#include "heed/kv/paged_cache.hpp"
#include "kv/vector_model.hpp"
#include "support/sweep.hpp"

namespace heed::test {

// A text of L tokens whose rows in one call are those of the same text in any cuts.
template <class T>
struct CutText {
  Index L, D, Dv;
  Tensor4<float> q = random4<float>(1, 2, L, D, 1), k = random4<float>(1, 1, L, D, 2),
                 v = random4<float>(1, 1, L, Dv, 3);
  mask::any mask = mask::causal();
  Tensor4<float> all = [this] {
    kv::Cache<T> whole({1, 1, D, Dv});
    whole.append(k, v);
    return attention(q, whole, mask).out;
  }();

  // The number of cuts, most of a few tokens, each third one of up to `longest`.
  template <class Cache>
  int compare(Cache cache, Index longest, std::uint64_t seed) const {
    int cuts = 0;
    for (Index first = 0, n = 0; first < L; first += n, ++cuts) {
      const auto step = seed + static_cast<std::uint64_t>(first);
      n = std::min(L - first, 1 + draw(step, 1, draw(step, 2, 3) == 0 ? longest : 5));
      cache.append(part(view_of(k), 0, 1, first, n), part(view_of(v), 0, 1, first, n));
      const auto found = attention(part(view_of(q), 0, 1, first, n), cache, mask);
      CAPTURE(seed, first, n);
      REQUIRE(same(view_of(found.out), part(view_of(all), 0, 1, first, n)));
    }
    return cuts;
  }
};

// 10,000 cuts of a text of 150 tokens, over caches in one piece and in pages.
template <class T>
void compare_many_cuts(Index D, Index Dv, Index page) {
  const CutText<T> text{150, D, Dv};
  int cuts = 0;
  for (std::uint64_t seed = 0; cuts < 10'000 / cases_per_run; seed += 1000) {
    cuts += text.compare(kv::Cache<T>({1, 1, D, Dv}), 90, seed);
    cuts += text.compare(kv::PagedCache<T>({1, 1, D, Dv}, {page, 150 / page + 1}), 90, seed + 500);
  }
}

}  // namespace heed::test
