// From a checked problem on the device to a kernel on a stream.
#pragma once

#include <cstring>
#include <type_traits>

#include "heed/attention/problem.hpp"
#include "heed/cuda/device/error.cuh"
#include "heed/cuda/kernel/flash_forward.cuh"
#include "heed/cuda/kernel/plain_forward.cuh"

namespace heed::cuda {

inline namespace HEED_ABI {

template <class Kernel, class KernelTraits, class Call>
__global__ void __launch_bounds__(KernelTraits::threads, KernelTraits::blocks_per_sm)
    forward_kernel(const __grid_constant__ Call call) {
  Kernel::run(call);
}

// A block a task; a grid of two dimensions, since one has at most 2³¹ − 1 blocks.
inline dim3 grid_of(Index tasks) {
  constexpr Index most = 0x7fffffff;
  const Index rows = (tasks + most - 1) / most;
  return {static_cast<unsigned>((tasks + rows - 1) / rows), static_cast<unsigned>(rows), 1};
}

template <class Kernel, class KernelTraits, class Call>
void launch(const char* name, const Call& call, cudaStream_t stream) {
  const Index tasks =
      TileScheduler::of(call.shape, KernelTraits::queries, KernelTraits::width).count();
  if (tasks == 0) return;
  const auto kernel = &forward_kernel<Kernel, KernelTraits, Call>;
  const auto context = [&] {
    return "q " + to_string(call.q) + ", k " + to_string(call.k) + ", v " + to_string(call.v) +
           ", " + std::to_string(tasks) + " blocks of " + std::to_string(KernelTraits::threads) +
           " threads and " + std::to_string(KernelTraits::shared_bytes) + " bytes of shared memory";
  };
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(KernelTraits::shared_bytes)),
        name, context);
  void* arguments[] = {const_cast<Call*>(&call)};
  check(cudaLaunchKernel(kernel, grid_of(tasks), dim3(KernelTraits::threads), arguments,
                         KernelTraits::shared_bytes, stream),
        name, context);
}

// The same memory as the bits that tensor cores take.
template <class Bits, class T>
auto as_bits(const View<T, 4>& x) {
  using Pointee = std::conditional_t<std::is_const_v<T>, const Bits, Bits>;
  return View<Pointee, 4>{reinterpret_cast<Pointee*>(x.data),
                          {x.extent[0], x.extent[1], x.extent[2], x.extent[3]},
                          {x.stride[0], x.stride[1], x.stride[2], x.stride[3]}};
}

// Eigen::half and __half have one name, and one kernel.
template <class T>
consteval bool is_half() {
  return Element<T>::name[0] == 'h';
}

// The kernel for tensor cores, which takes the elements as Bits.
template <class Bits, class T, class M, class S>
void launch_flash_forward(const char* name, const Problem<T>& problem, const M& mask,
                          const S& score, cudaStream_t stream) {
  const auto call = tensor_core_call(
      problem.shape, as_bits<Bits>(problem.q), as_bits<Bits>(problem.k), as_bits<Bits>(problem.v),
      as_bits<Bits>(problem.out), problem.lse, problem.scale, problem.dropout, mask, score);
  dispatch_traits<Bits>(problem.shape.D, problem.shape.Dv, [&](auto cut) {
    using KernelTraits = decltype(cut);
    launch<FlashForward<KernelTraits, Bits, M, S>, KernelTraits>(name, call, stream);
  });
}

// Starts the forward kernel of a problem whose tensors, mask and score are on the device; floats go
// through tensor cores if `tf32`. Returns what the kernel computes with.
template <class T, class M, class S>
const char* launch_forward(const char* name, const Problem<T>& problem, const M& mask,
                           const S& score, bool tf32, cudaStream_t stream) {
  if constexpr (sizeof(T) == 2) {
    using Bits = std::conditional_t<is_half<T>(), F16, Bf16>;
    launch_flash_forward<Bits>(name, problem, mask, score, stream);
    return "mma.sync m16n8k16";
  } else {
    if constexpr (std::is_same_v<T, float>) {
      if (tf32) {
        launch_flash_forward<Tf32>(name, problem, mask, score, stream);
        return "mma.sync m16n8k8 tf32";
      }
    }
    const auto call = plain_call(problem.shape, problem.q, problem.k, problem.v, problem.out,
                                 problem.lse, problem.scale, problem.dropout, mask, score);
    with_plain_cut<T>(problem.shape.Dv, [&](auto cut) {
      using KernelTraits = decltype(cut);
      launch<PlainForward<KernelTraits, T, M, S>, KernelTraits>(name, call, stream);
    });
    return "CUDA cores";
  }
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
