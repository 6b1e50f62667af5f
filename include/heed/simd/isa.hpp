// The instruction set of a call: the best one that this machine has, asked once.
//
// A binary built without -march carries every kernel and picks here. HEED_ISA=avx2 (or portable,
// avx512, avx512_bf16) in the environment lowers the choice, for tests and comparisons; it cannot
// raise it.
#pragma once

#include <cstdlib>
#include <string_view>

#include "heed/core/abi.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define HEED_X86 1
#include <cpuid.h>
#else
#define HEED_X86 0
#endif

// Kernels that multiply pairs of bfloat16; nvcc 13 crashes while it reads them, so that .cu files
// do without on the host.
#if HEED_X86 && !defined(__CUDACC__)
#define HEED_X86_PAIRS 1
#else
#define HEED_X86_PAIRS 0
#endif

// Kernels that multiply tiles of them; Linux alone says how a program asks for the tiles.
#if HEED_X86_PAIRS && defined(__linux__) && defined(__LP64__)
#define HEED_X86_TILES 1
#else
#define HEED_X86_TILES 0
#endif

namespace heed {

// In ascending order of what they can do.
enum class Isa { portable, avx2, avx512, avx512_bf16, amx };

inline namespace HEED_ABI {

// "portable" is what every machine of the architecture has: SSE2 on x86-64, NEON on aarch64.
constexpr const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "AVX2+FMA";
    case Isa::avx512:
      return "AVX-512";
    case Isa::avx512_bf16:
      return "AVX-512 with BF16";
    case Isa::amx:
      return "AVX-512 with AMX";
  }
  return "";
}

#if HEED_X86
// Conversions of half; clang 14 cannot be asked for them by name.
inline bool machine_has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

// Sums of pairs of bfloat16, which __builtin_cpu_supports knows by different names, and of bytes,
// which all machines with the former have.
inline bool machine_has_avx512_bf16() {
  if (HEED_X86_PAIRS == 0 || !__builtin_cpu_supports("avx512vnni")) return false;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 5)) != 0;
}

// On Intel bfloat16 in pairs was measured at 0.58 of the speed of floats: there the pairs are for
// those who ask for them (HEED_ISA).
inline bool pairs_are_fast() { return !__builtin_cpu_is("intel"); }
#endif

#if HEED_X86_TILES
// Tiles of bfloat16, and an operating system that keeps them for each thread.
inline bool machine_has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned bf16_and_tiles = 1U << 22 | 1U << 24;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & bf16_and_tiles) != bf16_and_tiles) {
    return false;
  }
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) return false;
  constexpr unsigned kept = 1U << 17 | 1U << 18;
  unsigned low = 0, high = 0;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & kept) == kept;
}

// True where Linux grants AMX tiles to this process. It is asked once and can refuse; from then on
// each signal stores 8 KiB more, for which a thread's signal stack may be too small.
inline bool tiles_are_granted() {
  static const bool granted = [] {
    long result = 158;             // arch_prctl
    constexpr long what = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long tile_data = 18;
    asm volatile("syscall" : "+a"(result) : "D"(what), "S"(tile_data) : "rcx", "r11", "memory");
    return result == 0;
  }();
  return granted;
}
#else
inline bool machine_has_amx() { return false; }
inline bool tiles_are_granted() { return false; }
#endif

inline Isa machine_isa() {
#if HEED_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    if (!machine_has_avx512_bf16()) return Isa::avx512;
    if (machine_has_amx()) return Isa::amx;
    return pairs_are_fast() ? Isa::avx512_bf16 : Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && machine_has_f16c()) {
    return Isa::avx2;
  }
#endif
  return Isa::portable;
}

// The instruction set named `wish`, if `machine` has it; else what `machine` has.
constexpr Isa lowered(Isa machine, std::string_view wish) {
  const Isa meant = wish == "portable"      ? Isa::portable
                    : wish == "avx2"        ? Isa::avx2
                    : wish == "avx512"      ? Isa::avx512
                    : wish == "avx512_bf16" ? Isa::avx512_bf16
                                            : machine;
  return meant < machine ? meant : machine;
}

// The instruction set of all calls, the same for the life of the process.
[[gnu::noinline]] inline Isa isa() {
  static const Isa chosen = [] {
    const char* wish = std::getenv("HEED_ISA");
    return lowered(machine_isa(), wish == nullptr ? "" : wish);
  }();
  return chosen;
}

}  // namespace HEED_ABI
}  // namespace heed
