#include "heed/core/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"

namespace {

using heed::Executor;
using heed::Index;
using heed::Job;
using heed::parallel_for;
using heed::worker_count;

// A pool of the user's: a thread per job.
class Threads : public Executor {
 public:
  explicit Threads(int concurrency) : concurrency_(concurrency) {}
  int concurrency() const override { return concurrency_; }
  void run(int workers, Job job) override {
    ++calls;
    std::vector<std::thread> threads;
    for (int worker = 0; worker < workers; ++worker) {
      threads.emplace_back([job, worker] {
        std::fesetenv(FE_DFL_ENV);  // as of threads that were started long ago
        job(worker);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  std::atomic<int> calls{0};  // a task may start a loop of its own

 private:
  int concurrency_;
};

// A pool that runs its jobs one after the other, last first.
class Backwards : public Executor {
 public:
  int concurrency() const override { return 4; }
  void run(int workers, Job job) override {
    for (int worker = workers - 1; worker >= 0; --worker) job(worker);
  }
};

// The times that each task ran; −1 if a worker's number was out of range.
std::vector<int> visits(Index tasks, int workers, Executor* executor) {
  std::vector<std::atomic<int>> counts(static_cast<std::size_t>(tasks));
  std::atomic<bool> wrong_worker{false};
  parallel_for(tasks, workers, executor, [&](Index task, int worker) {
    ++counts[static_cast<std::size_t>(task)];
    if (worker < 0 || worker >= workers) wrong_worker = true;
  });
  std::vector<int> result(counts.begin(), counts.end());
  if (wrong_worker) result.assign(result.size(), -1);
  return result;
}

}  // namespace

TEST_CASE("a number of threads that no machine has starts no more than OpenMP can") {
  const int workers = worker_count(Index{1} << 30, 40'000, nullptr);
  CHECK(workers <= std::max(256, static_cast<int>(std::thread::hardware_concurrency())));
  CHECK(worker_count(Index{1} << 30, 200, nullptr) <= 200);
#if defined(_OPENMP)
  CHECK(workers >= 256);
  CHECK(worker_count(Index{1} << 30, 200, nullptr) == 200);
#endif
  CHECK(visits(1000, workers, nullptr) == std::vector<int>(1000, 1));
  Threads pool(300);  // the user's own are the user's
  CHECK(worker_count(1000, 40'000, &pool) == 300);
}

TEST_CASE("every task runs exactly once, whatever the tasks, the workers and the pool") {
  Threads threads(4);
  Backwards backwards;
  for (Executor* executor : std::vector<Executor*>{nullptr, &threads, &backwards}) {
    for (const Index tasks : {0, 1, 2, 3, 7, 64, 1000}) {
      for (const int workers : {1, 2, 3, 8}) {
        CAPTURE(tasks, workers);
        CHECK(visits(tasks, workers, executor) ==
              std::vector<int>(static_cast<std::size_t>(tasks), 1));
      }
    }
  }
}

TEST_CASE("one worker needs no pool") {
  Threads threads(4);
  visits(10, 1, &threads);
  CHECK(threads.calls == 0);
  visits(10, 2, &threads);
  CHECK(threads.calls == 1);
}

TEST_CASE("workers have the floating-point settings of their caller, and then their own again") {
  Threads threads(4);
  Backwards backwards;
  const auto before = heed::float_control();
  for (Executor* executor : std::vector<Executor*>{nullptr, &threads, &backwards}) {
    std::fesetround(FE_UPWARD);
    const auto wanted = heed::float_control();
    std::atomic<int> others{0};
    parallel_for(64, 4, executor, [&](Index, int) {
      if (heed::float_control() != wanted) ++others;
    });
    const auto after = heed::float_control();
    std::fesetround(FE_TONEAREST);
    CHECK(others == 0);
    CHECK(after == wanted);
    CHECK(wanted != before);
    parallel_for(64, 4, executor, [&](Index, int) {
      if (heed::float_control() != before) ++others;
    });
    CHECK(others == 0);
  }
}

TEST_CASE("tasks are handed out in order") {
  std::vector<Index> order;
  parallel_for(50, 1, nullptr, [&](Index task, int) { order.push_back(task); });
  for (Index n = 0; n < 50; ++n) CHECK(order[static_cast<std::size_t>(n)] == n);
}

TEST_CASE("an exception comes out of the parallel loop, and ends the handing out") {
  Threads threads(4);
  Backwards backwards;
  for (Executor* executor : std::vector<Executor*>{nullptr, &threads, &backwards}) {
    for (const int workers : {1, 2, 4}) {
      CAPTURE(workers);
      std::atomic<int> ran{0};
      std::string text;
      try {
        parallel_for(100000, workers, executor, [&](Index task, int) {
          ++ran;
          if (task == 5) throw std::runtime_error("task 5");
          if (task > 5) std::this_thread::sleep_for(std::chrono::microseconds(10));
        });
      } catch (const std::runtime_error& error) {
        text = error.what();
      }
      CHECK(text == "task 5");
      CHECK(ran >= 6);
      CHECK(ran < 100000);
    }
  }
}

TEST_CASE("when every task throws, one exception comes out") {
  Threads threads(4);
  CHECK_THROWS_AS(parallel_for(64, 4, &threads, [](Index, int) { throw std::bad_alloc(); }),
                  std::bad_alloc);
  CHECK_THROWS_AS(parallel_for(64, 4, nullptr, [](Index task, int) { throw task; }), Index);
}

TEST_CASE("a loop inside a task of a loop runs all its tasks") {
  Threads threads(3);
  for (Executor* executor : std::vector<Executor*>{nullptr, &threads}) {
    std::atomic<int> inner{0};
    parallel_for(4, 2, executor,
                 [&](Index, int) { parallel_for(10, 3, executor, [&](Index, int) { ++inner; }); });
    CHECK(inner == 40);
  }
}

TEST_CASE("loops of several callers at once do not meet") {
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int n = 0; n < 20; ++n)
        good += visits(20, 2, nullptr) == std::vector<int>(20, 1) ? 1 : 0;
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(good == 80);
}

TEST_CASE("there are as many workers as tasks, threads and the pool allow, and at least one") {
  Threads four(4);
  CHECK(worker_count(100, 0, &four) == 4);
  CHECK(worker_count(3, 0, &four) == 3);
  CHECK(worker_count(0, 0, &four) == 1);
  CHECK(worker_count(100, 2, &four) == 2);
  CHECK(worker_count(100, 9, &four) == 4);
  CHECK(worker_count(Index{1} << 40, 0, &four) == 4);
  Threads none(0);
  CHECK(worker_count(100, 0, &none) == 1);
  Threads negative(-3);
  CHECK(worker_count(100, 7, &negative) == 1);
  CHECK(worker_count(100, 1, nullptr) == 1);
  CHECK(worker_count(100, 0, nullptr) == std::min(100, heed::available_threads(nullptr)));
}

TEST_CASE("a negative number of threads is refused, whatever there is to do") {
  Threads four(4);
  for (heed::Executor* pool :
       {static_cast<heed::Executor*>(nullptr), static_cast<heed::Executor*>(&four)}) {
    for (const Index tasks : {0, 1, 100}) {
      CHECK_THAT(heed::test::error_of([&] { worker_count(tasks, -1, pool); }),
                 heed::test::ContainsSubstring("-1 threads"));
    }
  }
}
