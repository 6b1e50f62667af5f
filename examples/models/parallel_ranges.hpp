// Tasks whose data lie one behind the other, shared out in ranges, so that each worker reads memory
// in one stream.
#pragma once

#include <algorithm>
#include <atomic>

#include "heed/core/parallel.hpp"

namespace heed::models {

// body(task), which does not throw, for every task in [0, tasks), each once. A worker takes the
// tasks of its own range in order, then those that others have left.
template <class Body>
void parallel_ranges(Index tasks, int workers, Executor* executor, const Body& body) {
  constexpr int most = 64;
  workers = std::min(workers, most);
  struct alignas(64) Range {
    std::atomic<Index> next;
    Index end;
  };
  struct Work {
    const Body& body;
    int workers;
    Range ranges[most];

    void run(int worker) {
      for (int n = 0; n < workers; ++n) {
        Range& range = ranges[(worker + n) % workers];
        for (Index task = range.next++; task < range.end; task = range.next++) body(task);
      }
    }
  } work{body, workers, {}};
  for (int n = 0; n < workers; ++n) {
    work.ranges[n].next = tasks * n / workers;
    work.ranges[n].end = tasks * (n + 1) / workers;
  }
  run_workers(workers, executor,
              {[](void* target, int worker) { static_cast<Work*>(target)->run(worker); }, &work});
}

}  // namespace heed::models
