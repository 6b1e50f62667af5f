// From a checked problem on the device to a kernel on a stream.
#pragma once

#include <cstring>
#include <type_traits>

#include "heed/cuda/device/error.cuh"
#include "heed/cuda/kernel/dispatch.cuh"

namespace heed::cuda {

inline namespace HEED_ABI {

template <class Kernel>
__global__ void __launch_bounds__(Kernel::Traits::threads, Kernel::Traits::blocks_per_sm)
    forward_kernel(const __grid_constant__ typename Kernel::Call call) {
  Kernel::run(call);
}

// A block a task; a grid of two dimensions, since one has at most 2³¹ − 1 blocks.
inline dim3 grid_of(Index tasks) {
  constexpr Index most = 0x7fffffff;
  const Index rows = (tasks + most - 1) / most;
  return {static_cast<unsigned>((tasks + rows - 1) / rows), static_cast<unsigned>(rows), 1};
}

template <class Kernel>
void launch(const char* name, const typename Kernel::Call& call, cudaStream_t stream) {
  using Traits = typename Kernel::Traits;
  const Index tasks = Kernel::scheduler(call.shape).count();
  if (tasks == 0) return;
  const auto kernel = &forward_kernel<Kernel>;
  const auto context = [&] {
    return "q " + to_string(call.q) + ", k " + to_string(call.k) + ", v " + to_string(call.v) +
           ", " + std::to_string(tasks) + " blocks of " + std::to_string(Traits::threads) +
           " threads and " + std::to_string(Traits::shared_bytes) + " bytes of shared memory";
  };
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(Traits::shared_bytes)),
        name, context);
  void* arguments[] = {const_cast<typename Kernel::Call*>(&call)};
  check(cudaLaunchKernel(kernel, grid_of(tasks), dim3(Traits::threads), arguments,
                         Traits::shared_bytes, stream),
        name, context);
}

// Starts the forward kernel of a problem whose tensors, mask, score and sinks are on the device;
// floats go through tensor cores if `tf32`. Returns what the kernel computes with.
template <class T, class M, class S>
const char* launch_forward(const char* name, const Problem<T>& problem, const M& mask,
                           const S& score, const Accum<T>* sinks, bool tf32, cudaStream_t stream) {
  return visit_kernel(problem, mask, score, sinks, tf32, [&](const auto& call, auto kernel) {
    using Kernel = typename decltype(kernel)::type;
    launch<Kernel>(name, call, stream);
  });
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
