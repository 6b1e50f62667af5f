// Threads attend over caches together: over forks of one pool, and over a cache of its own, beside
// one that appends to a copy.
#include <thread>
#include <vector>

#include "heed/kv/cache.hpp"
#include "heed/kv/paged_cache.hpp"
#include "support/contract.hpp"

namespace heed {

TEST_CASE("caches: threads that attend over them together have the results of one") {
  const auto k = test::random4<float>(1, 1, 70, 8, 1), v = test::random4<float>(1, 1, 70, 5, 2),
             next_k = test::random4<float>(2, 1, 9, 8, 3),
             next_v = test::random4<float>(2, 1, 9, 5, 4), q = test::random4<float>(2, 2, 3, 8, 5);
  kv::Cache<float> whole({1, 1, 8, 5});
  kv::PagedCache<float> pages({1, 1, 8, 5}, {.page = 32, .pages = 9});
  whole.append(k, v);
  pages.append(k, v);
  const kv::Cache<float> beams = whole.fork({0, 0});
  const kv::PagedCache<float> reader = pages.fork({0, 0});
  kv::PagedCache<float> grown = pages.fork({0, 0});
  grown.append(next_k, next_v);

  const auto attend = [&](const auto& cache) { return attention(q, cache, mask::causal()); };
  const auto of_beams = attend(beams), of_reader = attend(reader), of_grown = attend(grown);
  std::vector<std::thread> threads;
  std::vector<int> same(6);
  const auto start = [&](const auto& cache, const auto& expected) {
    int& found = same[threads.size()];
    threads.emplace_back([&] {
      found = 1;
      for (int n = 0; n < 20; ++n)
        found &= test::same_bits(attend(cache).out, expected.out) ? 1 : 0;
    });
  };
  for (int n = 0; n < 2; ++n) {
    start(beams, of_beams);
    start(reader, of_reader);
    start(grown, of_grown);
  }
  kv::Cache<float> own = beams;
  for (int n = 0; n < 20; ++n) {
    own.append(next_k, next_v);
    own.truncate(0, 60 + n);
    own.erase(1, 5, 9);
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(same == std::vector<int>(6, 1));
  CHECK(own.length(0) == 79);
  CHECK(own.length(1) == 70);
}

}  // namespace heed
