// One product of tensor cores as the kernels make it, in a source that the emulator and a device
// both run. Of small integers every sum is exact, so their results are the same bits.
#pragma once

#include "heed/cuda/arch/copy_sm80.cuh"
#include "heed/cuda/arch/mma_sm80.cuh"

namespace heed::test {

// c [16, 8] = 1 + a [16, 16] · b [16, 8], row-major in global memory, by one warp: a and b go
// through shared memory as 16-bit numbers, b as its columns, or, Transposed, as its rows.
template <class T, bool Transposed>
struct OneProduct {
  static constexpr std::size_t shared_bytes = 1024;
  static constexpr cuda::ptx::Shared b_begin = 16 * 16 * 2;

  HEED_GPU static void run(const float* a, const float* b, float* c) {
    namespace ptx = cuda::ptx;
    const int lane = ptx::thread();
    for (int n = lane; n < 128; n += ptx::warp_lanes) {
      ptx::store_shared(ptx::Shared(4 * n), pair(a + n * 2, 1));
    }
    for (int n = lane; n < 64; n += ptx::warp_lanes) {
      const float* from = Transposed ? b + n * 2 : b + n % 8 * 16 + n / 8;
      ptx::store_shared(b_begin + ptx::Shared(4 * n), pair(from, Transposed ? 1 : 8));
    }
    ptx::barrier();
    std::uint32_t left[4];
    std::uint32_t right[4];
    ptx::ldmatrix(left, ptx::Shared(lane % 16 * 32 + lane / 16 * 16));
    if constexpr (Transposed) {
      ptx::ldmatrix_transposed(right, b_begin + ptx::Shared(lane % 16 * 16));
    } else {
      ptx::ldmatrix(right, b_begin + ptx::Shared(lane % 8 * 32 + lane / 8 % 2 * 16));
    }
    float sum[4] = {1, 1, 1, 1};
    ptx::mma<T>(sum, left, right[0], right[1]);
    // PTX ISA, "Matrix Fragments for mma.m16n8k16", the figure of the accumulators.
    for (int e = 0; e < 4; ++e) {
      ptx::store_global(c + (lane / 4 + e / 2 * 8) * 8 + lane % 4 * 2 + e % 2, sum[e]);
    }
  }

 private:
  HEED_GPU static std::uint32_t pair(const float* from, int stride) {
    return cuda::ptx::pack<T>(cuda::ptx::load_global(from), cuda::ptx::load_global(from + stride));
  }
};

// c [16, 8] = 1 + a [16, 0 … 8) · b [0 … 8), 8], of the same matrices, as tf32: b through ldmatrix
// as its columns, or, Transposed, as its rows, a word at a time.
template <bool Transposed>
struct OneTf32Product {
  static constexpr std::size_t shared_bytes = 1024;
  static constexpr cuda::ptx::Shared b_begin = 16 * 8 * 4;

  HEED_GPU static void run(const float* a, const float* b, float* c) {
    namespace ptx = cuda::ptx;
    const int lane = ptx::thread();
    for (int n = lane; n < 128; n += ptx::warp_lanes) {
      ptx::store_shared(ptx::Shared(4 * n), word(a + n / 8 * 16 + n % 8));
    }
    for (int n = lane; n < 64; n += ptx::warp_lanes) {
      ptx::store_shared(b_begin + ptx::Shared(4 * n),
                        word(Transposed ? b + n : b + n % 8 * 8 + n / 8));
    }
    ptx::barrier();
    std::uint32_t left[4];
    std::uint32_t right[4];
    ptx::ldmatrix(left, ptx::Shared(lane % 16 * 32 + lane / 16 * 16));
    if constexpr (Transposed) {
      for (int n = 0; n < 2; ++n) {
        right[n] = ptx::load_words(b_begin + ptx::Shared((lane % 4 + 4 * n) * 32 + lane / 4 * 4));
      }
    } else {
      ptx::ldmatrix(right, b_begin + ptx::Shared(lane % 8 * 32 + lane / 8 % 2 * 16));
    }
    float sum[4] = {1, 1, 1, 1};
    ptx::mma<cuda::Tf32>(sum, left, right[0], right[1]);
    for (int e = 0; e < 4; ++e) {
      ptx::store_global(c + (lane / 4 + e / 2 * 8) * 8 + lane % 4 * 2 + e % 2, sum[e]);
    }
  }

 private:
  HEED_GPU static std::uint32_t word(const float* from) {
    return cuda::ptx::round_tf32(cuda::ptx::load_global(from));
  }
};

}  // namespace heed::test
