// The emulator: blocks one after another, a thread a fibre, warps in lockstep where an instruction
// is warp-wide. Kernels see it through the cuda/arch beside it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "cuda/simt/fibre.hpp"
#include "cuda/simt/global_memory.hpp"
#include "cuda/simt/shared_memory.hpp"

namespace heed::simt {

inline constexpr int warp_lanes = 32;

struct Launch {
  std::int64_t blocks = 1;
  int threads = warp_lanes;  // whole warps
  std::size_t shared_bytes = 0;
  bool backwards = false;  // threads take turns from the last to the first
};

// The work of a launch.
struct Counts {
  std::int64_t mma = 0;
  std::int64_t ldmatrix = 0;
  std::int64_t bank_conflicts = 0;  // passes beyond the one that each phase of a warp's load needs
  std::int64_t barriers = 0;
  std::int64_t async_copies = 0;
};

class Machine {
 public:
  // Runs the kernel for every thread of every block. Throws Fault, whose text names the thread.
  static Counts run(const Launch& launch, const GlobalMemory& global,
                    const std::function<void()>& kernel);

  // The machine whose kernel is running.
  static Machine& current();

  int thread() const { return thread_; }
  std::int64_t block() const { return block_; }
  SharedMemory& shared() { return *shared_; }
  const GlobalMemory& global() const { return global_; }
  Counts& counts() { return counts_; }

  // __syncthreads_or.
  bool barrier(bool mine);

  // Waits until the whole warp is here with the same instruction; `execute` then runs once on what
  // the lanes brought.
  template <class Lane, class Execute>
  void warp_wide(const char* instruction, Lane& mine, const Execute& execute) {
    if (!join_warp(instruction, &mine)) return;
    std::array<Lane*, warp_lanes> lanes;
    const auto& brought = warps_[warp()].brought;
    for (std::size_t n = 0; n < lanes.size(); ++n) lanes[n] = static_cast<Lane*>(brought[n]);
    execute(lanes);
    release_warp();
  }

  // cp.async of 16 bytes: `bytes` from memory, then zeros.
  void copy(std::uint32_t to, const void* from, int bytes);
  void commit_copies() { ++threads_[thread_index()].group; }
  void wait_copies(int pending);

 private:
  enum class Turn { ready, at_warp, at_barrier, done };

  struct Copy {
    int group;
    std::uint32_t to;
    const unsigned char* from;
    int bytes;
  };
  struct Thread {
    std::unique_ptr<Fibre> fibre;
    Turn turn = Turn::ready;
    int group = 0;
    std::deque<Copy> copies;
  };
  struct Warp {
    const char* instruction = nullptr;
    int arrived = 0;
    std::array<void*, warp_lanes> brought{};
  };

  Machine(const Launch& launch, const GlobalMemory& global) : launch_(launch), global_(global) {}

  void run_block(std::int64_t block, const std::function<void()>& kernel);
  bool give_turns();
  [[noreturn]] void explain_deadlock() const;
  void stop_until_released(Turn why);
  bool join_warp(const char* instruction, void* mine);
  void release_warp();
  void release_barrier();

  std::size_t thread_index() const { return static_cast<std::size_t>(thread_); }
  std::size_t warp() const { return thread_index() / warp_lanes; }

  Launch launch_;
  const GlobalMemory& global_;
  Counts counts_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::unique_ptr<SharedMemory> shared_;
  std::exception_ptr error_;
  std::int64_t block_ = 0;
  int thread_ = 0;
  int at_barrier_ = 0;
  bool barrier_votes_ = false, barrier_result_ = false;
};

}  // namespace heed::simt
