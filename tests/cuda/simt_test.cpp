// The emulator finds what it is for: every detector is shown a small kernel that is wrong in its
// way, and the same kernel put right.
#include "heed/cuda/arch/copy_sm80.cuh"
#include "heed/cuda/arch/mma_sm80.cuh"
#include "support/catch.hpp"

namespace heed {
namespace {

namespace ptx = cuda::ptx;
using simt::Counts;
using simt::Fault;
using simt::GlobalMemory;
using simt::Launch;
using simt::Machine;
using simt::Wrong;

constexpr Launch two_warps{.blocks = 1, .threads = 64, .shared_bytes = 1024};

// The fault that a kernel is found to have, in the order of turns given.
template <class Kernel>
std::string found(Wrong kind, const Kernel& kernel, const GlobalMemory& global = {},
                  bool backwards = false) {
  Launch launch = two_warps;
  launch.backwards = backwards;
  try {
    Machine::run(launch, global, kernel);
  } catch (const Fault& fault) {
    CHECK(fault.kind() == kind);
    return fault.what();
  }
  return {};
}

ptx::Shared word_of(int thread) { return static_cast<ptx::Shared>(4 * thread); }

}  // namespace

TEST_CASE("threads exchange values through shared memory") {
  for (const bool backwards : {false, true}) {
    std::vector<int> out(64, -1);
    GlobalMemory global;
    global.add(out.data(), out.size());
    Launch launch = two_warps;
    launch.backwards = backwards;
    const Counts counts = Machine::run(launch, global, [&] {
      const int me = ptx::thread();
      ptx::store_shared(word_of(me), me);
      ptx::barrier();
      ptx::store_global(out.data() + me, ptx::load_shared<int>(word_of(63 - me)));
    });
    for (int n = 0; n < 64; ++n) CHECK(out[static_cast<std::size_t>(n)] == 63 - n);
    CHECK(counts.barriers == 1);
  }
}

TEST_CASE("a missing barrier is a race, whoever comes first") {
  for (const bool backwards : {false, true}) {
    const auto read_early = [] {
      const int me = ptx::thread();
      ptx::store_shared(word_of(me), me);
      ptx::barrier();
      ptx::store_shared(word_of(me), 2 * me);
      ptx::load_shared<int>(word_of(63 - me));
    };
    CHECK_THAT(found(Wrong::race, read_early, {}, backwards),
               test::ContainsSubstring("since the last barrier"));
    const auto write_twice = [] { ptx::store_shared(word_of(ptx::thread() / 2), 1); };
    CHECK_THAT(found(Wrong::race, write_twice, {}, backwards),
               test::ContainsSubstring("since the last barrier"));
  }
}

TEST_CASE("writing what others have just read is a race") {
  CHECK_THAT(found(Wrong::race,
                   [] {
                     if (ptx::thread() == 0) ptx::store_shared(0, 1);
                     ptx::barrier();
                     if (ptx::thread() < 2) ptx::load_shared<int>(0);
                     if (ptx::thread() == 40) ptx::store_shared(0, 2);
                   }),
             test::ContainsSubstring("read by several threads"));
}

TEST_CASE("memory that nobody wrote is not read") {
  CHECK_THAT(found(Wrong::uninitialised, [] { ptx::load_shared<int>(word_of(ptx::thread())); }),
             test::ContainsSubstring("never written"));
}

TEST_CASE("shared and global memory end where they end") {
  CHECK_THAT(found(Wrong::out_of_bounds, [] { ptx::store_shared(1024, 1); }),
             test::ContainsSubstring("which has 1024"));
  std::vector<int> data(4);
  GlobalMemory global;
  global.add(data.data(), 3);
  CHECK(found(
            Wrong::out_of_bounds, [&] { ptx::load_global(data.data() + 2); }, global)
            .empty());
  CHECK_THAT(found(
                 Wrong::out_of_bounds, [&] { ptx::load_global(data.data() + 3); }, global),
             test::ContainsSubstring("that the launch was not given"));
}

TEST_CASE("misaligned addresses are refused") {
  alignas(16) static const unsigned char data[64] = {};
  GlobalMemory global;
  global.add(data, sizeof data);
  CHECK_FALSE(found(Wrong::misaligned, [] { ptx::store_shared<int>(2, 1); }).empty());
  CHECK_FALSE(found(
                  Wrong::misaligned, [] { ptx::cp_async(8, data, 16); }, global)
                  .empty());
  CHECK_FALSE(found(
                  Wrong::misaligned, [] { ptx::cp_async(16, data + 8, 16); }, global)
                  .empty());
  CHECK_FALSE(found(Wrong::misaligned, [] {
                std::uint32_t x[4];
                ptx::ldmatrix(x, 8);
              }).empty());
}

TEST_CASE("a cp.async is there when its group was waited for, and not before") {
  alignas(16) static const std::uint32_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<std::uint32_t> out(8);
  GlobalMemory global;
  global.add(data, 8);
  global.add(out.data(), 8);
  const auto kernel = [&](bool wait_for_all, bool barrier) {
    const int me = ptx::thread();
    if (me == 0) {
      ptx::cp_async(0, data, 16);
      ptx::cp_async_commit();
      ptx::cp_async(16, data + 4, 8);
      ptx::cp_async_commit();
      wait_for_all ? ptx::cp_async_wait<0>() : ptx::cp_async_wait<1>();
    }
    if (barrier) ptx::barrier();
    if (me >= 32 && me < 40)
      ptx::store_global(&out[std::size_t(me - 32)],
                        ptx::load_shared<std::uint32_t>(word_of(me - 32)));
  };
  CHECK(found(
            Wrong::not_waited, [&] { kernel(true, true); }, global)
            .empty());
  CHECK(out == std::vector<std::uint32_t>{1, 2, 3, 4, 5, 6, 0, 0});
  CHECK_THAT(found(
                 Wrong::not_waited, [&] { kernel(false, true); }, global),
             test::ContainsSubstring("byte 16 of shared memory, where a cp.async of thread 0"));
  CHECK_THAT(found(
                 Wrong::race, [&] { kernel(true, false); }, global),
             test::ContainsSubstring("written by thread 0"));
}

TEST_CASE("a copy into what others still read is a race") {
  alignas(16) static const std::uint32_t data[4] = {};
  GlobalMemory global;
  global.add(data, 4);
  CHECK_THAT(found(
                 Wrong::race,
                 [] {
                   if (ptx::thread() == 0) ptx::store_shared(0, 1);
                   ptx::barrier();
                   if (ptx::thread() == 1) ptx::load_shared<int>(0);
                   if (ptx::thread() == 40) ptx::cp_async(0, data, 16);
                 },
                 global),
             test::ContainsSubstring("read by thread 1"));
}

TEST_CASE("lanes and warps that go different ways are found") {
  CHECK_THAT(found(Wrong::divergent,
                   [] {
                     if (ptx::thread() < 63) ptx::barrier();
                   }),
             test::ContainsSubstring("63 at a barrier, 1 have ended"));
  CHECK_THAT(found(Wrong::divergent,
                   [] {
                     if (ptx::thread() % 32 != 5) ptx::warp_any(true);
                   }),
             test::ContainsSubstring("31 lanes of a warp at vote.sync"));
  CHECK_THAT(found(Wrong::divergent,
                   [] {
                     ptx::thread() % 2 == 0 ? void(ptx::warp_any(true))
                                            : void(ptx::shuffle_xor(1.0f, 1));
                   }),
             test::ContainsSubstring("is at shfl.sync, others of its warp are at vote.sync"));
}

TEST_CASE("votes and shuffles") {
  Machine::run(two_warps, {}, [] {
    const int lane = ptx::thread() % 32;
    const auto must = [](bool good) {
      if (!good) throw std::logic_error("a wrong vote or shuffle");
    };
    must(ptx::warp_ballot(lane % 3 == 0) == 0x49249249u);
    must(ptx::warp_any(lane == 31) && !ptx::warp_any(false));
    must(ptx::shuffle_xor(static_cast<float>(lane), 2) == static_cast<float>(lane ^ 2));
    must(ptx::barrier_or(ptx::thread() == 40) && !ptx::barrier_or(false));
    must(ptx::lowest_bit(0x50) == 4);
  });
}

TEST_CASE("bank conflicts of ldmatrix are counted") {
  const auto conflicts = [](ptx::Shared row_bytes) {
    Launch launch{.blocks = 1, .threads = 32, .shared_bytes = 32 * 128};
    return Machine::run(launch, {},
                        [row_bytes] {
                          for (int n = ptx::thread(); n < 32 * 32; n += 32)
                            ptx::store_shared(word_of(n), n);
                          ptx::barrier();
                          std::uint32_t x[4];
                          ptx::ldmatrix(x, static_cast<ptx::Shared>(ptx::thread()) * row_bytes);
                        })
        .bank_conflicts;
  };
  CHECK(conflicts(16) == 0);       // eight rows side by side
  CHECK(conflicts(128) == 4 * 7);  // eight rows in the same banks, four times
  CHECK(conflicts(32) == 4 * 1);
}

TEST_CASE("an exception of a kernel comes out") {
  CHECK_THROWS_AS(Machine::run(two_warps, {}, [] { throw std::logic_error("mine"); }),
                  std::logic_error);
}

}  // namespace heed
