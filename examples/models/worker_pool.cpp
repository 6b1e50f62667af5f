#include "models/worker_pool.hpp"

#include <chrono>
#include <exception>
#include <utility>

namespace heed::models {
namespace {

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until `state` is not `before`: at first without giving the processor up, since the next
// call of a decoder comes within microseconds.
template <class State>
void wait_while(const std::atomic<State>& state, State before) {
  constexpr auto patience = std::chrono::microseconds(100);
  const auto start = std::chrono::steady_clock::now();
  while (state.load(std::memory_order_acquire) == before) {
    for (int n = 0; n < 32 && state.load(std::memory_order_relaxed) == before; ++n) relax();
    if (std::chrono::steady_clock::now() - start > patience) return state.wait(before);
  }
}

}  // namespace

WorkerPool::WorkerPool(int threads) {
  workers_.reserve(static_cast<std::size_t>(threads > 0 ? threads - 1 : 0));
  for (int n = 1; n < threads; ++n) {
    try {
      auto worker = std::make_unique<Worker>();
      worker->thread = std::thread([this, n, &own = *worker] { work(own, n); });
      workers_.push_back(std::move(worker));
    } catch (const std::exception&) {
      return;  // the system has no more threads, or no memory for one
    }
  }
}

WorkerPool::~WorkerPool() {
  for (const auto& worker : workers_) {
    worker->state = ended;
    worker->state.notify_one();
    worker->thread.join();
  }
}

// True for the one of caller and thread that comes first to an offered job.
bool WorkerPool::take(Worker& worker, State taken) {
  State expected = offered;
  return worker.state.compare_exchange_strong(expected, taken, std::memory_order_acq_rel);
}

void WorkerPool::work(Worker& own, int n) {
  while (true) {
    wait_while(own.state, idle);
    if (own.state.load(std::memory_order_acquire) == ended) return;
    if (!take(own, begun)) continue;
    job_(n);
    own.state.store(idle, std::memory_order_release);
    own.state.notify_one();
  }
}

void WorkerPool::run(int workers, Job job) {
  const std::unique_lock lock(running_, std::try_to_lock);
  if (!lock.owns_lock()) {
    for (int n = 0; n < workers; ++n) job(n);
    return;
  }
  job_ = job;
  for (int n = 1; n < workers; ++n) {
    Worker& worker = *workers_[static_cast<std::size_t>(n - 1)];
    worker.state.store(offered, std::memory_order_release);
    worker.state.notify_one();
  }
  job(0);
  for (int n = 1; n < workers; ++n) {
    Worker& worker = *workers_[static_cast<std::size_t>(n - 1)];
    if (take(worker, idle)) {
      job(n);
    } else {
      wait_while(worker.state, begun);
    }
  }
}

}  // namespace heed::models
