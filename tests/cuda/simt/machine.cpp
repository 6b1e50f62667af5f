#include "cuda/simt/machine.hpp"

#include <cstring>
#include <string>

namespace heed::simt {
namespace {

Machine* running = nullptr;

}  // namespace

Machine& Machine::current() { return *running; }

Counts Machine::run(const Launch& launch, const GlobalMemory& global,
                    const std::function<void()>& kernel) {
  Machine machine(launch, global);
  running = &machine;
  for (std::int64_t block = 0; block < launch.blocks; ++block) machine.run_block(block, kernel);
  running = nullptr;
  return machine.counts_;
}

void Machine::run_block(std::int64_t block, const std::function<void()>& kernel) {
  block_ = block;
  shared_ = std::make_unique<SharedMemory>(launch_.shared_bytes);
  threads_.clear();
  threads_.resize(static_cast<std::size_t>(launch_.threads));
  warps_.assign(threads_.size() / warp_lanes, {});
  at_barrier_ = 0;
  for (Thread& thread : threads_) {
    thread.fibre = std::make_unique<Fibre>([this, &kernel, &thread] {
      try {
        kernel();
      } catch (...) {
        if (!error_) error_ = std::current_exception();
      }
      thread.turn = Turn::done;
    });
  }
  while (give_turns()) {
    if (error_) std::rethrow_exception(error_);
  }
  if (error_) std::rethrow_exception(error_);
  for (const Thread& thread : threads_) {
    if (thread.turn != Turn::done) explain_deadlock();
  }
}

// One turn for every thread that can go on; whether there was any.
bool Machine::give_turns() {
  bool moved = false;
  for (int n = 0; n < launch_.threads && !error_; ++n) {
    thread_ = launch_.backwards ? launch_.threads - 1 - n : n;
    Thread& thread = threads_[thread_index()];
    if (thread.turn != Turn::ready) continue;
    thread.fibre->resume();
    moved = true;
  }
  return moved;
}

void Machine::explain_deadlock() const {
  int ended = 0;
  std::string text = "threads wait at different places:";
  for (const Warp& warp : warps_) {
    if (warp.arrived > 0) {
      text += " " + std::to_string(warp.arrived) + " lanes of a warp at " + warp.instruction + ",";
    }
  }
  for (const Thread& thread : threads_) ended += thread.turn == Turn::done ? 1 : 0;
  throw Fault(Wrong::divergent, text + " " + std::to_string(at_barrier_) + " at a barrier, " +
                                    std::to_string(ended) + " have ended");
}

void Machine::stop_until_released(Turn why) {
  const int me = thread_;
  Thread& thread = threads_[thread_index()];
  thread.turn = why;
  while (thread.turn != Turn::ready) thread.fibre->give_way();
  thread_ = me;
}

bool Machine::join_warp(const char* instruction, void* mine) {
  Warp& warp = warps_[this->warp()];
  if (warp.arrived > 0 && std::strcmp(warp.instruction, instruction) != 0) {
    throw Fault(Wrong::divergent, "thread " + std::to_string(thread_) + " is at " + instruction +
                                      ", others of its warp are at " + warp.instruction);
  }
  warp.instruction = instruction;
  warp.brought[thread_index() % warp_lanes] = mine;
  if (++warp.arrived == warp_lanes) return true;
  stop_until_released(Turn::at_warp);
  return false;
}

void Machine::release_warp() {
  warps_[warp()].arrived = 0;
  const std::size_t first = warp() * warp_lanes;
  for (std::size_t lane = 0; lane < warp_lanes; ++lane) threads_[first + lane].turn = Turn::ready;
}

bool Machine::barrier(bool mine) {
  barrier_votes_ = (at_barrier_ > 0 && barrier_votes_) || mine;
  if (++at_barrier_ == launch_.threads) {
    release_barrier();
  } else {
    stop_until_released(Turn::at_barrier);
  }
  return barrier_result_;
}

void Machine::release_barrier() {
  barrier_result_ = barrier_votes_;
  at_barrier_ = 0;
  ++counts_.barriers;
  shared_->barrier();
  for (Thread& thread : threads_) {
    if (thread.turn == Turn::at_barrier) thread.turn = Turn::ready;
  }
}

void Machine::copy(std::uint32_t to, const void* from, int bytes) {
  if (to % 16 != 0 || reinterpret_cast<std::uintptr_t>(from) % 16 != 0) {
    throw Fault(Wrong::misaligned, "thread " + std::to_string(thread_) +
                                       " starts a cp.async at an address that is not a multiple of "
                                       "16");
  }
  if (bytes > 0) global_.check(thread_, from, static_cast<std::size_t>(bytes));
  shared_->begin_copy(thread_, to, 16);
  Thread& thread = threads_[thread_index()];
  thread.copies.push_back({thread.group, to, static_cast<const unsigned char*>(from), bytes});
  ++counts_.async_copies;
}

void Machine::wait_copies(int pending) {
  Thread& thread = threads_[thread_index()];
  while (!thread.copies.empty() && thread.copies.front().group < thread.group - pending) {
    const Copy copy = thread.copies.front();
    thread.copies.pop_front();
    unsigned char data[16] = {};
    std::memcpy(data, copy.from, static_cast<std::size_t>(copy.bytes));
    shared_->complete_copy(thread_, copy.to, data, sizeof data);
  }
}

}  // namespace heed::simt
