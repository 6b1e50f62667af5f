// The same call on two devices: the CPU's result, the GPU's, and how far they are apart. Host
// tensors are copied over and back; device tensors stay where they are and nothing waits for them.
#include <heed/core/eigen.hpp>
#include <heed/cuda.hpp>
#include <heed/heed.hpp>
#include <iostream>

int main() {
  heed::Tensor4<float> q(1, 4, 300, 64);
  heed::Tensor4<float> k(1, 2, 300, 64);
  heed::Tensor4<float> v(1, 2, 300, 64);
  q.setRandom();
  k.setRandom();
  v.setRandom();
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::cout << "no CUDA device: nothing to compare\n";
    return 0;
  }

  const auto cpu = heed::attention(q, k, v, heed::mask::causal());
  const auto gpu = heed::cuda::attention(q, k, v, heed::mask::causal());
  float apart = 0;
  for (heed::Index n = 0; n < cpu.out.size(); ++n) {
    apart = std::max(apart, std::abs(cpu.out.data()[n] - gpu.out.data()[n]));
  }
  std::cout << "largest difference between CPU and GPU: " << apart << '\n';

  const auto device_q = heed::cuda::to_device(q);
  const auto device_k = heed::cuda::to_device(k);
  const auto device_v = heed::cuda::to_device(v);
  const auto there = heed::cuda::attention(device_q, device_k, device_v, heed::mask::causal());
  there.out.copy_to(q);  // the first thing that waits
  return apart < 1e-4f ? 0 : 1;
}
