// Products of sm_80's tensor cores, and the conversions to and from their operands.
// PTX ISA: "mma", "Matrix Fragments for mma.m16n8k16 with floating point type", "Matrix Fragments
// for mma.m16n8k8", "cvt".
#pragma once

#include "heed/cuda/arch/simt.cuh"

namespace heed::cuda::ptx {

// c += a · b: a [16, 16], b [16, 8], c [16, 8] in float, spread over a warp. For Tf32 a is [16, 8],
// b [8, 8], and both have been rounded.
template <class T>
HEED_GPU void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);

template <>
HEED_GPU void mma<F16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                       std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
HEED_GPU void mma<Bf16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                        std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
HEED_GPU void mma<Tf32>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                        std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A float rounded to the nearest of tf32, ties away from zero; the 13 bits it does not have are 0.
HEED_GPU std::uint32_t round_tf32(float x) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(bits) : "f"(x));
  return bits;
}

// Two floats rounded to the nearest of T, ties to even, `low` in the lower half.
template <class T>
HEED_GPU std::uint32_t pack(float low, float high);

template <>
HEED_GPU std::uint32_t pack<F16>(float low, float high) {
  std::uint32_t both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;\n" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
template <>
HEED_GPU std::uint32_t pack<Bf16>(float low, float high) {
  std::uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

HEED_GPU float to_float(Bf16 x) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(x.bits) << 16);
}
HEED_GPU float to_float(F16 x) {
  float wide;
  asm("cvt.f32.f16 %0, %1;\n" : "=f"(wide) : "h"(x.bits));
  return wide;
}

// The operand type of a product.
HEED_GPU float to_float(Tf32 x) {
  return __builtin_bit_cast(float, round_tf32(__builtin_bit_cast(float, x.bits)));
}

}  // namespace heed::cuda::ptx
