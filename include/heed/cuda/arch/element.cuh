// Elements of tensor cores as bits: two 16-bit formats, and floats of which they use a part. __half
// and Eigen::half are both F16 here,
// __nv_bfloat16 and Eigen::bfloat16 both Bf16, so that a kernel is compiled once a format.
#pragma once

#include <cstdint>

namespace heed::cuda {

struct F16 {
  std::uint16_t bits;
};

struct Bf16 {
  std::uint16_t bits;
};

// A float, rounded to ten explicit bits of mantissa where it enters a product.
struct Tf32 {
  std::uint32_t bits;
};

// Sixteen bytes: what one cp.async moves.
struct alignas(16) Chunk {
  std::uint32_t word[4];
};

}  // namespace heed::cuda
