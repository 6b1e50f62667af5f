// Attention on a pool that the program already has: Eigen's, and oneTBB's where CMake finds it. Any
// pool gives the same bits.
#include <algorithm>
#include <heed/heed.hpp>
#include <iostream>
#include <unsupported/Eigen/CXX11/ThreadPool>

#if defined(EXAMPLE_HAS_TBB)
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>
#endif

namespace {

// The caller computes too, so a pool of n threads serves n + 1 workers. Not to be called from the
// pool's own threads: they would wait for each other.
class EigenPool : public heed::Executor {
 public:
  explicit EigenPool(Eigen::ThreadPool& pool) : pool_(pool) {}

  int concurrency() const override { return pool_.NumThreads() + 1; }
  void run(int workers, heed::Job job) override {
    Eigen::Barrier done(static_cast<unsigned>(workers - 1));
    for (int worker = 1; worker < workers; ++worker) {
      pool_.Schedule([&done, job, worker] {
        job(worker);
        done.Notify();
      });
    }
    job(0);
    done.Wait();
  }

 private:
  Eigen::ThreadPool& pool_;
};

#if defined(EXAMPLE_HAS_TBB)
// Callable from inside tasks of the arena too: a TBB thread that waits takes other tasks.
class TbbArena : public heed::Executor {
 public:
  explicit TbbArena(tbb::task_arena& arena) : arena_(arena) {}

  int concurrency() const override { return arena_.max_concurrency(); }
  void run(int workers, heed::Job job) override {
    arena_.execute([&] {
      const tbb::blocked_range<int> each(0, workers, 1);
      tbb::parallel_for(
          each,
          [&](const tbb::blocked_range<int>& some) {
            for (int worker = some.begin(); worker < some.end(); ++worker) job(worker);
          },
          tbb::simple_partitioner());
    });
  }

 private:
  tbb::task_arena& arena_;
};
#endif

bool same_bits(const heed::Tensor4<float>& a, const heed::Tensor4<float>& b) {
  return std::equal(a.data(), a.data() + a.size(), b.data(), b.data() + b.size());
}

}  // namespace

int main() {
  heed::Tensor4<float> q(2, 8, 300, 64);
  heed::Tensor4<float> k(2, 8, 300, 64);
  heed::Tensor4<float> v(2, 8, 300, 64);
  q.setRandom();
  k.setRandom();
  v.setRandom();
  const auto alone = heed::attention(q, k, v, heed::mask::causal(), {}, {.threads = 1});

  bool same = true;
  const auto show = [&](const char* name, heed::Executor& executor) {
    heed::CallReport report;
    const auto pooled = heed::attention(q, k, v, heed::mask::causal(), {},
                                        {.executor = &executor, .report = &report});
    const bool equal = same_bits(pooled.out, alone.out);
    std::cout << name << ": " << report.threads << " workers, "
              << (equal ? "the same bits" : "different") << " as one thread\n";
    same = same && equal && report.threads == 4;
  };

  Eigen::ThreadPool threads(3);
  EigenPool pool(threads);
  show("Eigen::ThreadPool", pool);

#if defined(EXAMPLE_HAS_TBB)
  tbb::task_arena four(4);
  TbbArena arena(four);
  show("tbb::task_arena", arena);
#else
  std::cout << "tbb::task_arena: built without oneTBB\n";
#endif
  return same ? 0 : 1;
}
