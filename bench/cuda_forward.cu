// The speed of the forward pass on this device: TFLOP/s of useful work, and the fraction of what
// cuBLAS reaches for 8192³ in bfloat16 in the same run.
//
//   nvcc -std=c++20 -O2 -arch=native -Iinclude bench/cuda_forward.cu -lcublas -o cuda_forward
//
// Useful work is 4·B·H·Lq·Lk·D, halved for causal; a window counts the keys it leaves. Events,
// warm.
#include <cublas_v2.h>
#include <cuda_bf16.h>

#include <algorithm>
#include <cstdio>
#include <heed/cuda.hpp>

namespace {

using Bf16 = __nv_bfloat16;

constexpr int warm_up = 3;
constexpr int runs = 10;

template <class Call>
double seconds(const Call& call) {
  cudaEvent_t begin;
  cudaEvent_t end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  for (int n = 0; n < warm_up; ++n) call();
  cudaEventRecord(begin);
  for (int n = 0; n < runs; ++n) call();
  cudaEventRecord(end);
  cudaEventSynchronize(end);
  float milliseconds = 0;
  cudaEventElapsedTime(&milliseconds, begin, end);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return milliseconds / 1e3 / runs;
}

__global__ void fill(Bf16* x, heed::Index count, std::uint32_t seed) {
  for (heed::Index n = blockIdx.x * blockDim.x + threadIdx.x; n < count;
       n += static_cast<heed::Index>(gridDim.x) * blockDim.x) {
    const auto words = heed::philox(seed, {static_cast<std::uint32_t>(n), 0, 0, 0});
    x[n] = __float2bfloat16(static_cast<float>(words[0]) / 2147483648.0f - 1.0f);
  }
}

template <int SortKey>
heed::cuda::DeviceTensor<Bf16, SortKey> random_tensor(const heed::Extents<SortKey>& extent,
                                                      std::uint32_t seed) {
  heed::cuda::DeviceTensor<Bf16, SortKey> x(extent);
  fill<<<1024, 256>>>(x.data(), x.size(), seed);
  return x;
}

double cublas_tflops() {
  constexpr int n = 8192;
  const auto a = random_tensor<2>({n, n}, 1);
  const auto b = random_tensor<2>({n, n}, 2);
  heed::cuda::DeviceTensor<Bf16, 2> c({n, n});
  cublasHandle_t handle;
  cublasCreate(&handle);
  const float one = 1;
  const float zero = 0;
  const double time = seconds([&] {
    cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_T, n, n, n, &one, a.data(), CUDA_R_16BF, n,
                 b.data(), CUDA_R_16BF, n, &zero, c.data(), CUDA_R_16BF, n, CUBLAS_COMPUTE_32F,
                 CUBLAS_GEMM_DEFAULT);
  });
  cublasDestroy(handle);
  return 2.0 * n * n * n / time / 1e12;
}

template <class M, class S>
void measure(const char* what, double roof, heed::Index L, heed::Index D, double share,
             const M& mask, const S& score) {
  const heed::Index tokens = 16384;
  const heed::Index width = 2048;
  const heed::Index B = std::max<heed::Index>(1, tokens / L);
  const heed::Index H = width / D;
  const auto q = random_tensor<4>({B, H, L, D}, 3);
  const auto k = random_tensor<4>({B, H, L, D}, 4);
  const auto v = random_tensor<4>({B, H, L, D}, 5);
  auto result = heed::cuda::attention(q, k, v, mask, score);
  const double time = seconds([&] { heed::cuda::attention_into(result, q, k, v, mask, score); });
  const double work = 4.0 * static_cast<double>(B * H) * static_cast<double>(L) *
                      static_cast<double>(L) * static_cast<double>(D) * share;
  std::printf("%-10s L %6lld  D %3lld  %8.3f ms  %6.1f TFLOP/s  (%.2f of cuBLAS)\n", what,
              static_cast<long long>(L), static_cast<long long>(D), time * 1e3, work / time / 1e12,
              work / time / 1e12 / roof);
}

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("no CUDA device: nothing to measure\n");
    return 0;
  }
  cudaDeviceProp device{};
  cudaGetDeviceProperties(&device, 0);
  const double roof = cublas_tflops();
  std::printf("%s, cuBLAS 8192^3 bf16: %.1f TFLOP/s\n", device.name, roof);
  const auto slopes = heed::score::alibi_slopes(32);
  for (const heed::Index L : {1024, 4096, 16384}) {
    for (const heed::Index D : {64, 128}) {
      const std::vector<float> of_heads(slopes.begin(), slopes.begin() + 2048 / D);
      const double in_window = std::min(1.0, 513.0 / static_cast<double>(L));
      measure("full", roof, L, D, 1, heed::mask::None{}, heed::score::None{});
      measure("causal", roof, L, D, 0.5, heed::mask::causal(), heed::score::None{});
      measure("window 256", roof, L, D, in_window, heed::mask::window(256), heed::score::None{});
      measure("alibi", roof, L, D, 1, heed::mask::None{}, heed::score::alibi(of_heads));
    }
  }
  return 0;
}
