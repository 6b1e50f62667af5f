// Errors of the CUDA runtime as heed::Error, with the call and its arguments.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"

namespace heed::cuda {

inline namespace HEED_ABI {

// 90 for sm_90, of the device that is current.
inline int architecture() {
  int device = 0;
  int major = 0;
  int minor = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  return 10 * major + minor;
}

inline constexpr int oldest_architecture = 80;

inline std::string no_kernel_for(int architecture) {
  const std::string number = std::to_string(architecture);
  const std::string what = "this program has no kernel for sm_" + number;
  if (architecture < oldest_architecture) {
    return what + "; heed's kernels need sm_" + std::to_string(oldest_architecture) + " or later";
  }
  return what + "; compile it with -gencode arch=compute_" + number + ",code=sm_" + number;
}

inline bool lacks_kernel(cudaError_t status) {
  return status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction ||
         status == cudaErrorUnsupportedPtxVersion;
}

// Throws heed::Error "call: what went wrong (context())" unless `status` is success. The runtime's
// own record of the error is cleared: it is reported here, once.
template <class Context>
void check(cudaError_t status, const std::string& call, const Context& context) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  std::string why = cudaGetErrorString(status);
  if (lacks_kernel(status)) why = no_kernel_for(architecture());
  throw Error(call + ": " + why + " (" + context() + ")");
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
