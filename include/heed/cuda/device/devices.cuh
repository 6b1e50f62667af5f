// The CUDA devices of this machine that the runtime shows, in its order.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>
#include <vector>

#include "heed/cuda/device/error.cuh"

namespace heed::cuda {

struct Device {
  std::string name;
  int architecture;   // 90 for sm_90
  std::size_t bytes;  // of memory

  bool can_run() const { return architecture >= oldest_architecture; }
};

inline namespace HEED_ABI {

// Empty where there is no device or no driver; never throws for that. Waits for nothing.
inline std::vector<Device> devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return {};
  }
  std::vector<Device> all;
  for (int number = 0; number < count; ++number) {
    cudaDeviceProp about{};
    check(cudaGetDeviceProperties(&about, number), "heed::cuda::devices",
          [&] { return "asking device " + std::to_string(number); });
    all.push_back({about.name, 10 * about.major + about.minor, about.totalGlobalMem});
  }
  return all;
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
