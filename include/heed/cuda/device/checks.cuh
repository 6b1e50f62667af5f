// Checks before a launch: a device, the backend, memory and a stream of the current device.
#pragma once

#include <initializer_list>
#include <string>
#include <type_traits>

#include "heed/attention/operands.hpp"
#include "heed/core/view.hpp"
#include "heed/cuda/device/device_memory.cuh"

namespace heed::cuda {

struct NamedStream {
  const char* name;
  cudaStream_t stream;
};

inline namespace HEED_ABI {

// Throws heed::Error for a backend that runs on the CPU.
inline void check_on_cuda(const char* call, Backend backend) {
  if (backend == Backend::automatic || backend == Backend::cuda) return;
  throw Error(std::string(call) + ": options.backend is " + name_of(backend) +
              ", but this call computes on the device; heed::attention runs the others, on host "
              "tensors");
}

// check_call for the device, where floats may be taken as tf32.
template <class Q, class K, class V, class M, class S>
Shape check_device_call(const char* call, const Q& q, const K& k, const V& v, const M& mask,
                        const S& score, Options options) {
  using T = ScalarOf<Q>;
  if (options.tf32 && !std::is_same_v<T, float>) {
    throw Error(std::string(call) + ": options.tf32 is for tensors of float, but q " +
                to_string(view_of(q)) + " is of " + Element<T>::name);
  }
  options.tf32 = false;
  const Shape shape = check_call(call, q, k, v, mask, score, options);
  // A tile reaches past the last query and key, and kernels count positions by int.
  constexpr Index longest = max_length - 1023;
  if (shape.Lq > longest || shape.Lk > longest) {
    throw Error(std::string(call) + ": the device takes lengths up to 2^31 - 1024 (q " +
                to_string(view_of(q)) + ", k " + to_string(view_of(k)) + ")");
  }
  return shape;
}

// Throws heed::Error where a tensor's memory is the host's, or another device's than the current
// one.
template <class T, int Rank>
void check_residence(const char* call, const char* name, const View<T, Rank>& x) {
  if (x.data == nullptr || x.empty()) return;
  const Residence residence = residence_of(x.data);
  if (!residence.on_device) {
    throw Error(std::string(call) + ": " + name + " " + to_string(x) +
                " is given as a device tensor, but its memory is the host's");
  }
  int current = 0;
  check(cudaGetDevice(&current), call, [] { return "asking for the current device"; });
  if (residence.device != current) {
    throw Error(std::string(call) + ": " + name + " " + to_string(x) + " lies on device " +
                std::to_string(residence.device) + ", but device " + std::to_string(current) +
                " is current (cudaSetDevice)");
  }
}

// Throws heed::Error where the stream belongs to another device than the current one.
inline void check_stream(const char* call, cudaStream_t stream) {
#if CUDART_VERSION >= 12080
  if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread) return;
  int current = 0;
  int owner = 0;
  check(cudaGetDevice(&current), call, [] { return "asking for the current device"; });
  check(cudaStreamGetDevice(stream, &owner), call, [] { return "asking for a stream's device"; });
  if (owner == current) return;
  throw Error(std::string(call) + ": the stream belongs to device " + std::to_string(owner) +
              ", but device " + std::to_string(current) + " is current (cudaSetDevice)");
#else
  static_cast<void>(call);
  static_cast<void>(stream);
#endif
}

inline void require_device(const char* call) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  const bool none = status == cudaSuccess && count == 0;
  if (none || status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver) {
    cudaGetLastError();
    throw Error(std::string(call) + ": no CUDA device (" + cudaGetErrorString(status) + ")");
  }
  check(status, call, [] { return "counting the CUDA devices"; });
}

// Throws heed::Error where one tensor's stream is not q's: the kernel would not wait for it.
inline void check_one_stream(const char* call, cudaStream_t stream,
                             std::initializer_list<NamedStream> others) {
  for (const NamedStream& other : others) {
    if (other.stream == stream) continue;
    throw Error(std::string(call) + ": " + other.name + " is on another stream than q");
  }
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
