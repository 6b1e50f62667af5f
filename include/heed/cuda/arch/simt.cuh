// Instructions of every architecture: threads, barriers, votes, memory, arithmetic.
//
// Headers of this folder are the only place with PTX, a function an instruction. Kernels use these
// and nothing else of CUDA, so that their source also runs on a CPU: the tests put an emulator's
// headers of these names before them. Shared memory is a block's dynamic shared memory, addressed
// by bytes from its beginning. PTX ISA: "ex2", "mul".
#pragma once

#include <cstdint>

#include "heed/core/types.hpp"
#include "heed/cuda/arch/element.cuh"

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

// a·b rounded, which no later sum contracts to a multiply-add.
HEED_GPU float product(float a, float b) { return __fmul_rn(a, b); }

// 2^x within 2 units of the last place; results below 2⁻¹²⁶ are 0.
HEED_GPU float exp2(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(power) : "f"(x));
  return power;
}

}  // namespace heed::cuda::ptx
