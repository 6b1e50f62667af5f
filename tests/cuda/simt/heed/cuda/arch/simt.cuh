// The instructions of include/heed/cuda/arch/simt.cuh on the emulator. Programs that put this
// folder before include/ run kernels on a CPU.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "cuda/simt/machine.hpp"
#include "heed/core/types.hpp"
#include "heed/cuda/arch/element.cuh"

#define HEED_GPU inline

namespace heed::cuda::ptx {

using Shared = std::uint32_t;

inline constexpr int warp_lanes = 32;

inline simt::Machine& machine() { return simt::Machine::current(); }

inline int thread() { return machine().thread(); }
inline Index block() { return machine().block(); }

inline void barrier() { machine().barrier(false); }
inline bool barrier_or(bool mine) { return machine().barrier(mine); }

inline std::uint32_t warp_ballot(bool mine) {
  struct Lane {
    bool mine;
    std::uint32_t all;
  } lane{mine, 0};
  machine().warp_wide("vote.sync", lane, [](const auto& lanes) {
    std::uint32_t all = 0;
    for (std::size_t n = 0; n < lanes.size(); ++n) all |= std::uint32_t{lanes[n]->mine} << n;
    for (auto* each : lanes) each->all = all;
  });
  return lane.all;
}
inline bool warp_any(bool mine) { return warp_ballot(mine) != 0; }

template <class T>
T shuffle_xor(T x, int mask) {
  struct Lane {
    T x, other;
    int mask;
  } lane{x, x, mask};
  machine().warp_wide("shfl.sync", lane, [](const auto& lanes) {
    for (std::size_t n = 0; n < lanes.size(); ++n) {
      lanes[n]->other = lanes[n ^ static_cast<std::size_t>(lanes[n]->mask)]->x;
    }
  });
  return lane.other;
}

inline std::uint32_t uniform(std::uint32_t x) {
  machine().warp_wide("shfl.sync", x, [](const auto& lanes) {
    for (const auto* lane : lanes) {
      if (*lane != *lanes[0]) throw simt::Fault(simt::Wrong::divergent, "lanes differ in uniform");
    }
  });
  return x;
}

inline int lowest_bit(std::uint32_t x) { return x == 0 ? -1 : std::countr_zero(x); }

template <class T>
T load_shared(Shared at) {
  static_assert(sizeof(T) % 4 == 0, "the shadow of shared memory is kept by words");
  if (at % alignof(T) != 0) throw simt::Fault(simt::Wrong::misaligned, "a misaligned load");
  T value;
  std::memcpy(&value, machine().shared().read(thread(), at, sizeof(T)), sizeof(T));
  return value;
}
template <class T>
void store_shared(Shared at, const T& value) {
  static_assert(sizeof(T) % 4 == 0, "the shadow of shared memory is kept by words");
  if (at % alignof(T) != 0) throw simt::Fault(simt::Wrong::misaligned, "a misaligned store");
  std::memcpy(machine().shared().write(thread(), at, sizeof(T)), &value, sizeof(T));
}

template <class T>
T load_global(const T* from) {
  machine().global().check(thread(), from, sizeof(T));
  return *from;
}
template <class T>
void store_global(T* to, const T& value) {
  machine().global().check(thread(), to, sizeof(T));
  *to = value;
}

// A bank is four bytes wide: words of a warp that lie in one, and are not the same, take a pass
// each.
inline std::uint32_t load_words(Shared at) {
  struct Lane {
    Shared at;
    int thread;
    std::uint32_t word;
  } lane{at, thread(), 0};
  machine().warp_wide("ld.shared", lane, [](const auto& lanes) {
    int most = 1;
    for (auto* each : lanes) {
      if (each->at % 4 != 0) throw simt::Fault(simt::Wrong::misaligned, "a misaligned load");
      std::memcpy(&each->word, machine().shared().read(each->thread, each->at, 4), 4);
      int others = 0;
      for (const auto* other : lanes) {
        others += other->at % 128 == each->at % 128 && other->at != each->at ? 1 : 0;
      }
      most = others + 1 > most ? others + 1 : most;
    }
    machine().counts().bank_conflicts += most - 1;
  });
  return lane.word;
}

inline float product(float a, float b) {
  const volatile float rounded = a * b;
  return rounded;
}

inline float exp2(float x) {
  const float power = std::exp2(x);
  return power < 0x1p-126f ? 0.0f : power;
}

}  // namespace heed::cuda::ptx
