#include "support/peak.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "heed/core/parallel.hpp"
#include "heed/simd/isa.hpp"

namespace heed::bench {
namespace {

// Twelve chains hide a latency of four cycles on up to three units; with the two factors they fit
// the sixteen registers of AVX2.
constexpr int chains = 12;
constexpr std::int64_t burst_rounds = 1 << 20;  // about two milliseconds

// The distance ahead at which the reading loop asks for memory. Without it one thread reads half as
// fast as a kernel that asks (Intel Xeon with AMX).
constexpr int prefetched_bytes = 4096;

// The same body for every width: a macro, because a function takes the instructions of its own
// target attribute only, and GCC lowers wide vectors before it inlines.
//
// x = x·half + half settles at 1, far from the subnormals whose arithmetic is slow. Every volatile
// read may give another value, so no compiler knows them or sees that the chains are alike.
// NOLINTBEGIN(bugprone-macro-parentheses): types and attributes take none
#define HEED_BENCH_LOOPS(ISA, TARGET, BYTES)                                                   \
  template <class T>                                                                           \
  TARGET double burst_##ISA(std::int64_t rounds) {                                             \
    using Vector __attribute__((vector_size(BYTES))) = T;                                      \
    const volatile T half = T(0.5);                                                            \
    const Vector a = Vector{} + half, b = Vector{} + half;                                     \
    Vector x0 = Vector{} + half, x1 = Vector{} + half, x2 = Vector{} + half;                   \
    Vector x3 = Vector{} + half, x4 = Vector{} + half, x5 = Vector{} + half;                   \
    Vector x6 = Vector{} + half, x7 = Vector{} + half, x8 = Vector{} + half;                   \
    Vector x9 = Vector{} + half, x10 = Vector{} + half, x11 = Vector{} + half;                 \
    for (std::int64_t round = 0; round < rounds; ++round) {                                    \
      x0 = x0 * a + b, x1 = x1 * a + b, x2 = x2 * a + b, x3 = x3 * a + b;                      \
      x4 = x4 * a + b, x5 = x5 * a + b, x6 = x6 * a + b, x7 = x7 * a + b;                      \
      x8 = x8 * a + b, x9 = x9 * a + b, x10 = x10 * a + b, x11 = x11 * a + b;                  \
    }                                                                                          \
    const Vector sum = x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9 + x10 + x11;            \
    return static_cast<double>(sum[0]);                                                        \
  }                                                                                            \
  TARGET std::uint64_t sweep_##ISA(const std::uint64_t* data, std::size_t words) {             \
    using Vector __attribute__((vector_size(BYTES), aligned(8), may_alias)) = std::uint64_t;   \
    constexpr std::size_t lanes = BYTES / sizeof(std::uint64_t);                               \
    const auto* lines = reinterpret_cast<const Vector*>(data);                                 \
    Vector s0{}, s1{}, s2{}, s3{};                                                             \
    for (std::size_t n = 0; n + 4 <= words / lanes; n += 4) {                                  \
      const char* ahead = reinterpret_cast<const char*>(lines + n) + prefetched_bytes;         \
      for (int byte = 0; byte < 4 * BYTES; byte += 64) __builtin_prefetch(ahead + byte, 0, 2); \
      s0 += lines[n], s1 += lines[n + 1], s2 += lines[n + 2], s3 += lines[n + 3];              \
    }                                                                                          \
    const Vector sum = s0 + s1 + s2 + s3;                                                      \
    return sum[0];                                                                             \
  }

HEED_BENCH_LOOPS(baseline, , 16)
#if defined(__x86_64__)
HEED_BENCH_LOOPS(avx2, __attribute__((target("avx2,fma"))), 32)
HEED_BENCH_LOOPS(avx512, __attribute__((target("avx512f"))), 64)
#endif
#undef HEED_BENCH_LOOPS
// NOLINTEND(bugprone-macro-parentheses)

// A result that nobody reads would be a loop that nobody runs.
inline void keep(double result) { [[maybe_unused]] volatile double kept = result; }

template <class Work>
void on_threads(int threads, const Work& work) {
  struct Call {
    static void run(void* target, int worker) { (*static_cast<const Work*>(target))(worker); }
  };
  run_workers(threads, nullptr, {&Call::run, const_cast<Work*>(&work)});
}

Isa processor_isa() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return Isa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::baseline;
}

}  // namespace

Isa widest_isa() {
  const char* asked = std::getenv("HEED_ISA");
  Isa most = Isa::avx512;
  if (asked != nullptr && std::strcmp(asked, "avx2") == 0) most = Isa::avx2;
  if (asked != nullptr && std::strcmp(asked, "portable") == 0) most = Isa::baseline;
  return std::min(most, processor_isa());
}

const char* name_of(Isa isa) {
  if (isa == Isa::avx512) return "avx512";
  return isa == Isa::avx2 ? "avx2" : "baseline";
}

double goal_of(const Row& row) {
  if (row.goal.bf16 > 0 && heed::isa() >= heed::Isa::avx512_bf16) return row.goal.bf16;
  return widest_isa() == Isa::avx512 ? row.goal.avx512 : row.goal.avx2;
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

FmaLoop::FmaLoop(Type type, int threads) : threads_(threads) {
  const bool wide = type == Type::f64;
  double bytes = 16;
  burst_ = wide ? burst_baseline<double> : burst_baseline<float>;
#if defined(__x86_64__)
  if (widest_isa() == Isa::avx512) {
    burst_ = wide ? burst_avx512<double> : burst_avx512<float>;
    bytes = 64;
  } else if (widest_isa() == Isa::avx2) {
    burst_ = wide ? burst_avx2<double> : burst_avx2<float>;
    bytes = 32;
  }
#endif
  const double lanes = bytes / (wide ? sizeof(double) : sizeof(float));
  flops_ = 2.0 * lanes * chains * static_cast<double>(burst_rounds) * threads;
}

void FmaLoop::operator()() const {
  on_threads(threads_, [burst = burst_](int) { keep(burst(burst_rounds)); });
}

ReadLoop::ReadLoop(int threads, std::size_t bytes, PageSize pages) : threads_(threads) {
  const std::size_t words = bytes / sizeof(std::uint64_t);
  if (pages == PageSize::large) large_.assign(words, 1);
  if (pages == PageSize::small) small_.assign(words, 1);
}

void ReadLoop::operator()() const {
  auto sweep = sweep_baseline;
#if defined(__x86_64__)
  if (widest_isa() == Isa::avx512) sweep = sweep_avx512;
  if (widest_isa() == Isa::avx2) sweep = sweep_avx2;
#endif
  const std::uint64_t* const data = large_.empty() ? small_.data() : large_.data();
  const std::size_t piece = words() / static_cast<std::size_t>(threads_);
  on_threads(threads_, [&](int worker) {
    const std::uint64_t* begin = data + static_cast<std::size_t>(worker) * piece;
    keep(static_cast<double>(sweep(begin, piece)));
  });
}

}  // namespace heed::bench
