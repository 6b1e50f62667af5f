// Tasks whose data lie one behind the other, shared out in ranges, so that each worker reads memory
// in one stream.
#pragma once

#include <algorithm>
#include <atomic>

#include "heed/core/parallel.hpp"

namespace heed::models {

// body(task), which does not throw, for every task in [0, tasks), each once. A worker takes the
// tasks of its own range in order, then those that others have left. Worker 64 begins with the
// range of worker 0, and so on: ranges lie on the stack, since a decoded token makes 150 such
// calls.
template <class Body>
void parallel_ranges(Index tasks, int workers, Executor* executor, const Body& body) {
  constexpr int most = 64;
  struct alignas(64) Range {
    std::atomic<Index> next;
    Index end;
  };
  struct Work {
    const Body& body;
    int count;
    Range ranges[most];

    void run(int worker) {
      for (int n = 0; n < count; ++n) {
        Range& range = ranges[(worker + n) % count];
        for (Index task = range.next++; task < range.end; task = range.next++) body(task);
      }
    }
  } work{body, std::min(workers, most), {}};
  for (int n = 0; n < work.count; ++n) {
    work.ranges[n].next = tasks * n / work.count;
    work.ranges[n].end = tasks * (n + 1) / work.count;
  }
  run_workers(workers, executor,
              {[](void* target, int worker) { static_cast<Work*>(target)->run(worker); }, &work});
}

}  // namespace heed::models
