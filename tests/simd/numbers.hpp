// Numbers for tests of kernels: random ones, awkward sizes, bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "heed/simd/gemm/tile_shape.hpp"
#include "support/same_bits.hpp"

namespace heed::test {

// Uniform in [−1, 1), the same everywhere.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : engine_(seed) {}
  double next() { return static_cast<double>(engine_() >> 11) * 0x1p-52 - 1; }

 private:
  std::mt19937_64 engine_;
};

// Around whole registers and panels, and primes.
inline std::vector<int> sizes(const simd::TileShape& tile_shape) {
  const int L = tile_shape.vl;
  const int P = tile_shape.nr;
  std::vector<int> all = {1,  2,     3,         5,     7,         13,           31,
                          61, L - 1, L,         L + 1, 2 * L - 1, 3 * L + 1,    P - 1,
                          P,  P + 1, 2 * P - 1, 2 * P, 2 * P + 1, 3 * P + L + 1};
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

// Half the distance from 1 to the next number of R.
template <class R>
constexpr double roundoff = static_cast<double>(std::numeric_limits<R>::epsilon()) / 2;

}  // namespace heed::test
