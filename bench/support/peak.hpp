// The machine's best, measured in the same process as heed: multiply-adds that never
// leave the registers, and reads of memory that no cache holds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "heed/kv/large_pages.hpp"
#include "support/problems.hpp"

namespace heed::bench {

// The widest instructions that this processor has and HEED_ISA allows.
enum class Isa { baseline, avx2, avx512 };
Isa widest_isa();
const char* name_of(Isa isa);
double goal_of(const Row& row);

// "AMD EPYC, avx2 …": for the head of a table.
std::string processor_name();

// A burst of independent multiply-adds of float (or double, for f64) on `threads` threads.
class FmaLoop {
 public:
  FmaLoop(Type type, int threads);

  void operator()() const;
  double flops() const { return flops_; }  // of one call

 private:
  using Burst = double (*)(std::int64_t rounds);

  Burst burst_;
  int threads_;
  double flops_;
};

// Several times the last cache: a pass over so many bytes throws all else out.
constexpr std::size_t swept_bytes(bool quick) { return (quick ? std::size_t{1} : 256) << 20; }

// The operating system's pages: of 4 KiB, as in most programs' arrays, or of 2 MiB, as in heed's
// caches and prepared weights. Reading is 1.2 to 1.7 times as fast in the latter (Zen 4).
enum class PageSize { small, large };

// One pass over a buffer, in one piece a thread.
class ReadLoop {
 public:
  ReadLoop(int threads, std::size_t bytes, PageSize pages = PageSize::small);
  ReadLoop(int threads, bool) = delete;

  void operator()() const;
  double bytes() const { return static_cast<double>(words() * sizeof(std::uint64_t)); }

 private:
  std::size_t words() const { return std::max(small_.size(), large_.size()); }

  std::vector<std::uint64_t> small_;  // one of the two is empty
  std::vector<std::uint64_t, kv::LargePages<std::uint64_t>> large_;
  int threads_;
};

}  // namespace heed::bench
