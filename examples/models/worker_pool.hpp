// Threads for the many short calls of a decoder: 150 products and attentions a token, of 10 to 100
// microseconds each.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "heed/core/parallel.hpp"

namespace heed::models {

// A job that its thread has not begun when the caller is done is run by the caller, so that a
// thread without a processor delays nobody. OpenMP's barrier waits for each: beside another program
// two threads wrote 9 tokens a second, one thread 105 (Zen 4, two cores).
//
// One call at a time is shared out; a call beside it runs on its own thread.
class WorkerPool final : public Executor {
 public:
  // The caller is one of the threads.
  explicit WorkerPool(int threads);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  WorkerPool(WorkerPool&&) = delete;
  WorkerPool& operator=(WorkerPool&&) = delete;
  ~WorkerPool() override;

  int concurrency() const override { return static_cast<int>(workers_.size()) + 1; }
  void run(int workers, Job job) override;

 private:
  enum State { idle, offered, begun, ended };
  struct alignas(64) Worker {
    std::atomic<State> state = idle;
    std::thread thread = {};
  };

  static bool take(Worker& worker, State taken);
  void work(Worker& own, int n);

  std::vector<std::unique_ptr<Worker>> workers_;
  std::mutex running_;
  Job job_ = {};
};

}  // namespace heed::models
