// Workers pull tasks from one counter; nothing about a result depends on them.
//
// Through the user's Executor where given, else OpenMP where compiled with it, else one thread.
//
// After fork(), a child of a process that has used OpenMP hangs in its first parallel region, as
// libgomp's threads stay with the parent. One thread or an Executor of the child's own starts none.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <string>

#include "heed/core/error.hpp"
#include "heed/core/float_control.hpp"
#include "heed/core/types.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace heed {

// A call to make once per worker; refers to its target, owns nothing.
struct Job {
  void (*call)(void* target, int worker);
  void* target;

  void operator()(int worker) const { call(target, worker); }
};

// The user's pool. `run` calls job(0) … job(workers − 1), in any order and on any threads, and
// returns when all have returned. Jobs do not throw.
class Executor {
 public:
  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  virtual ~Executor() = default;
  virtual int concurrency() const = 0;
  virtual void run(int workers, Job job) = 0;
};

inline namespace HEED_ABI {

inline int available_threads(const Executor* executor) {
  if (executor != nullptr) return std::max(1, executor->concurrency());
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

// OpenMP threads of one call at most: 256, or as many as there are processors where these are more.
// libgomp ends the process where the system refuses it a thread, so a number by mistake must not
// reach it.
inline int most_openmp_workers() {
  constexpr int most = 256;
#if defined(_OPENMP)
  return std::max(most, omp_get_num_procs());
#else
  return most;
#endif
}

// Throws heed::Error for a negative number of threads.
inline void check_threads(const char* call, int threads) {
  if (threads < 0) refuse({call, ": ", threads, " threads"});
}

// Workers for `tasks` tasks: at most `threads` (0: as many as there are), and never more than an
// executor has, or OpenMP is asked for. Throws heed::Error for a negative number of threads.
[[gnu::noinline]] inline int worker_count(Index tasks, int threads, const Executor* executor) {
  check_threads("heed", threads);
  const int available = available_threads(executor);
#if defined(_OPENMP)
  const bool can_exceed = executor == nullptr;
#else
  const bool can_exceed = false;
#endif
  int workers = threads == 0 ? available : threads;
  if (executor == nullptr) workers = std::min(workers, most_openmp_workers());
  if (!can_exceed) workers = std::min(workers, available);
  return static_cast<int>(std::clamp<Index>(tasks, 1, std::max(workers, 1)));
}

inline const char* parallel_name(const Executor* executor) {
  if (executor != nullptr) return "executor";
#if defined(_OPENMP)
  return "OpenMP";
#else
  return "one thread (compiled without OpenMP, no executor given)";
#endif
}

// Calls job(0) … job(workers − 1), each with the floating-point settings of this thread.
inline void run_workers(int workers, Executor* executor, Job job) {
  if (workers == 1) return job(0);
  struct Settings {
    Job job;
    FloatControl control;
  } settings{job, float_control()};
  job = {[](void* target, int worker) {
           const auto& given = *static_cast<const Settings*>(target);
           const FloatControlScope scope(given.control);
           given.job(worker);
         },
         &settings};
  if (executor != nullptr) {
    executor->run(workers, job);
  } else {
#if defined(_OPENMP)
#pragma omp parallel num_threads(workers)
    job(omp_get_thread_num());
#else
    for (int worker = 0; worker < workers; ++worker) job(worker);
#endif
  }
}

// body(task, own) for every task in [0, tasks), each exactly once, handed out in order; own is what
// start(worker) returns once for each worker.
// The first exception stops the handing out and is thrown here when all workers are done.
template <class Start, class Body>
void parallel_for(Index tasks, int workers, Executor* executor, const Start& start,
                  const Body& body) {
  struct State {
    const Start& start;
    const Body& body;
    Index tasks;
    std::atomic<Index> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error{};

    void work(int worker) noexcept {
      try {
        const auto own = start(worker);
        for (Index task = next++; task < tasks; task = next++) body(task, own);
      } catch (...) {
        next = tasks;
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
  };
  State state{start, body, tasks};
  run_workers(
      workers, executor,
      {[](void* target, int worker) { static_cast<State*>(target)->work(worker); }, &state});
  if (state.error) std::rethrow_exception(state.error);
}

// body(task, worker) for every task.
template <class Body>
void parallel_for(Index tasks, int workers, Executor* executor, Body&& body) {
  const auto start = [](int worker) { return worker; };
  parallel_for(tasks, workers, executor, start, body);
}

}  // namespace HEED_ABI
}  // namespace heed
