// The instructions of include/heed/cuda/arch/ptx.cuh on the emulator. Programs that
// put this folder before include/ run kernels on a CPU.
#pragma once

#include <cmath>
#include <cstring>

#include "cuda/simt/formats.hpp"
#include "cuda/simt/fragments.hpp"
#include "cuda/simt/machine.hpp"
#include "heed/core/types.hpp"
#include "heed/cuda/kernel/element.cuh"

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

inline void cp_async(Shared to, const void* from, int bytes) { machine().copy(to, from, bytes); }
inline void cp_async_commit() { machine().commit_copies(); }
template <int Pending>
void cp_async_wait() {
  machine().wait_copies(Pending);
}

// Eight lanes give the rows of a matrix; their sixteen-byte rows are read in one pass unless two of
// them lie in the same banks.
inline void count_conflicts(const std::uint32_t (&rows)[8]) {
  int most = 1;
  for (const std::uint32_t row : rows) {
    int same_banks = 0;
    for (const std::uint32_t other : rows) same_banks += other / 16 % 8 == row / 16 % 8 ? 1 : 0;
    most = same_banks > most ? same_banks : most;
  }
  machine().counts().bank_conflicts += most - 1;
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

inline void load_matrices(std::uint32_t (&x)[4], Shared row, bool transposed) {
  struct Lane {
    Shared row;
    std::uint32_t* x;
    int thread;
  } lane{row, x, thread()};
  const char* name = transposed ? "ldmatrix.trans" : "ldmatrix";
  machine().warp_wide(name, lane, [transposed](const auto& lanes) {
    for (int m = 0; m < 4; ++m) {
      std::uint16_t matrix[8][8];
      std::uint32_t rows[8];
      for (int r = 0; r < 8; ++r) {
        const auto* from = lanes[static_cast<std::size_t>(8 * m + r)];
        if (from->row % 16 != 0) {
          throw simt::Fault(simt::Wrong::misaligned, "ldmatrix of a row at not a multiple of 16");
        }
        rows[r] = from->row;
        std::memcpy(matrix[r], machine().shared().read(from->thread, from->row, 16), 16);
      }
      count_conflicts(rows);
      for (int n = 0; n < warp_lanes; ++n) {
        std::uint16_t pair[2];
        for (int e = 0; e < 2; ++e) {
          const simt::Place place = simt::matrix_place(n, e, transposed);
          pair[e] = matrix[place.row][place.column];
        }
        std::memcpy(lanes[static_cast<std::size_t>(n)]->x + m, pair, 4);
      }
    }
    ++machine().counts().ldmatrix;
  });
}
inline void ldmatrix(std::uint32_t (&x)[4], Shared row) { load_matrices(x, row, false); }
inline void ldmatrix_transposed(std::uint32_t (&x)[4], Shared row) { load_matrices(x, row, true); }

// The products are exact; the sum is taken in double and rounded once.
template <class T>
void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  using Fragments = simt::Fragments<sizeof(T)>;
  struct Lane {
    float* c;
    T a[Fragments::a_count], b[Fragments::b_count];
  } lane{c, {}, {}};
  static_assert(sizeof lane.a == 16 && sizeof lane.b == 8);
  std::memcpy(lane.a, a, 16);
  std::memcpy(lane.b, &b0, 4);
  std::memcpy(reinterpret_cast<char*>(lane.b) + 4, &b1, 4);
  machine().warp_wide("mma", lane, [](const auto& lanes) {
    float left[16][Fragments::depth];
    float right[8][Fragments::depth];  // transposed
    for (int n = 0; n < warp_lanes; ++n) {
      const auto* from = lanes[static_cast<std::size_t>(n)];
      for (int e = 0; e < Fragments::a_count; ++e) {
        const simt::Place place = Fragments::a_place(n, e);
        left[place.row][place.column] = simt::widen(from->a[e]);
      }
      for (int e = 0; e < Fragments::b_count; ++e) {
        const simt::Place place = Fragments::b_place(n, e);
        right[place.column][place.row] = simt::widen(from->b[e]);
      }
    }
    for (int n = 0; n < warp_lanes; ++n) {
      for (int e = 0; e < 4; ++e) {
        const simt::Place place = simt::c_place(n, e);
        float& c_element = lanes[static_cast<std::size_t>(n)]->c[e];
        double sum = static_cast<double>(c_element);
        for (int k = 0; k < Fragments::depth; ++k) {
          sum += static_cast<double>(left[place.row][k] * right[place.column][k]);
        }
        c_element = static_cast<float>(sum);
      }
    }
    ++machine().counts().mma;
  });
}

inline std::uint32_t round_tf32(float x) { return simt::narrow_tf32(x); }
inline float to_float(Tf32 x) {
  return std::bit_cast<float>(simt::narrow_tf32(std::bit_cast<float>(x.bits)));
}

template <class T>
std::uint32_t pack(float low, float high) {
  return simt::narrow<T>(low).bits | std::uint32_t{simt::narrow<T>(high).bits} << 16;
}
inline float to_float(Bf16 x) { return simt::widen(x); }
inline float to_float(F16 x) { return simt::widen(x); }

inline float product(float a, float b) {
  const volatile float rounded = a * b;
  return rounded;
}

inline float exp2(float x) {
  const float power = std::exp2(x);
  return power < 0x1p-126f ? 0.0f : power;
}

}  // namespace heed::cuda::ptx
