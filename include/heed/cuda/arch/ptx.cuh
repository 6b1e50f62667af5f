// The only place with PTX: what kernels ask of the hardware, one function an instruction.
//
// Kernels use these functions and nothing else of CUDA, so that their source also runs on a CPU:
// the tests put an emulator's header of this name before this one. Shared memory is a block's
// dynamic shared memory, addressed by bytes from its beginning.
// PTX ISA: "cp.async", "ldmatrix", "mma", "Matrix Fragments for mma.m16n8k16 with floating point
// type", "Matrix Fragments for mma.m16n8k8", "ex2", "cvt".
#pragma once

#include <cstdint>

#include "heed/core/types.hpp"
#include "heed/cuda/kernel/element.cuh"

#define HEED_GPU __device__ __forceinline__

namespace heed::cuda::ptx {

using Shared = std::uint32_t;  // bytes from the beginning of the block's shared memory

inline constexpr int warp_lanes = 32;
inline constexpr unsigned all_lanes = 0xffffffffu;

extern __shared__ Chunk shared_memory[];

// Read again at each use, so that nothing derived from it stays in registers across a loop. That
// alone takes the forward kernel at a head size of 128 from 18 spilled registers to none.
HEED_GPU int thread() {
  int index;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
  return index;
}
// Of a grid of two dimensions, because one holds no more than 2³¹ − 1.
HEED_GPU Index block() { return static_cast<Index>(blockIdx.y) * gridDim.x + blockIdx.x; }

HEED_GPU void barrier() { __syncthreads(); }
HEED_GPU bool barrier_or(bool mine) { return __syncthreads_or(mine ? 1 : 0) != 0; }

HEED_GPU bool warp_any(bool mine) { return __any_sync(all_lanes, mine) != 0; }
HEED_GPU std::uint32_t warp_ballot(bool mine) { return __ballot_sync(all_lanes, mine); }
HEED_GPU float shuffle_xor(float x, int lanes) { return __shfl_xor_sync(all_lanes, x, lanes); }
HEED_GPU double shuffle_xor(double x, int lanes) { return __shfl_xor_sync(all_lanes, x, lanes); }
// A number that is the same in all lanes, told so to the compiler: it then guards no instruction
// for whole warps against lanes that have gone another way.
HEED_GPU std::uint32_t uniform(std::uint32_t x) { return __shfl_sync(all_lanes, x, 0); }

HEED_GPU int lowest_bit(std::uint32_t x) { return __ffs(static_cast<int>(x)) - 1; }

HEED_GPU std::uint32_t window_address(Shared at) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared_memory)) + at;
}

template <class T>
HEED_GPU T load_shared(Shared at) {
  return *reinterpret_cast<const T*>(reinterpret_cast<const char*>(shared_memory) + at);
}
template <class T>
HEED_GPU void store_shared(Shared at, const T& value) {
  *reinterpret_cast<T*>(reinterpret_cast<char*>(shared_memory) + at) = value;
}

template <class T>
HEED_GPU T load_global(const T* from) {
  return *from;
}
template <class T>
HEED_GPU void store_global(T* to, const T& value) {
  *to = value;
}

// A word for each lane of a warp.
HEED_GPU std::uint32_t load_words(Shared at) { return load_shared<std::uint32_t>(at); }

// Sixteen bytes to shared memory, of which the first `bytes` come from `from` and the rest are
// zero; both addresses are multiples of 16. Nothing is there before its group is waited for.
HEED_GPU void cp_async(Shared to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(window_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}
HEED_GPU void cp_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
template <int Pending>
HEED_GPU void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(Pending) : "memory");
}

// Four 8×8 matrices of 16-bit elements, or 8×4 of words; lane 8·m + r gives the address of row r of
// matrix m.
HEED_GPU void ldmatrix(std::uint32_t (&x)[4], Shared row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(window_address(row))
               : "memory");
}
HEED_GPU void ldmatrix_transposed(std::uint32_t (&x)[4], Shared row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(window_address(row))
               : "memory");
}

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

// a·b rounded, which no later sum contracts to a multiply-add.
HEED_GPU float product(float a, float b) { return __fmul_rn(a, b); }

// 2^x within 2 units of the last place; results below 2⁻¹²⁶ are 0.
HEED_GPU float exp2(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(power) : "f"(x));
  return power;
}

}  // namespace heed::cuda::ptx
