// Products of codes with activations in three digits of 8 bits, as dot products of bytes, whose
// sums of 32 features are exact integers. Decoding then waits for memory instead of instructions
// (docs/decisions/051).
//
// Activations are rounded by at most 2^-22 of the largest of their block of 32; a block whose
// largest is below 2^-100 counts as zeros. Weights are not rounded.
#pragma once

#include <cstdint>

#include "heed/simd/isa.hpp"
#include "models/code_panel.hpp"

namespace heed::models {

// 32 features of a row: x = scale · Σ 256^d · digits[d]. It lies in a buffer of floats.
struct [[gnu::may_alias]] DigitBlock {
  static constexpr int count = 3;

  std::int8_t digits[count][code_block];
  float scale;  // NaN where a feature is not finite
  float sum;    // of x
  std::int32_t digit_sums[count];
};

struct DigitKernels {
  // blocks [in / 32] = a row x [in].
  void (*split)(const float* x, Index in, DigitBlock* blocks);
  // sums [rows, NR] = x · a panel. A row has the same bits alone and beside others.
  //   blocks  [rows, in / 32]
  void (*multiply)(const CodePanel& panel, const DigitBlock* blocks, Index rows, float* sums);
};

// Null where the instruction set has no dot products of bytes, as for caches in codes.
const DigitKernels* digit_kernels(Isa isa);

}  // namespace heed::models
