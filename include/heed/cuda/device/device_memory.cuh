// Device memory that frees itself, in the order of a stream: nothing here waits for the device.
#pragma once

#include <cstddef>
#include <utility>

#include "heed/cuda/device/error.cuh"

namespace heed::cuda {

class DeviceMemory {
 public:
  DeviceMemory() = default;

  // Throws heed::Error where the device has not so much.
  DeviceMemory(std::size_t bytes, cudaStream_t stream) : stream_(stream) {
    if (bytes == 0) return;
    check(cudaMallocAsync(&data_, bytes, stream), "heed::cuda",
          [&] { return "allocating " + std::to_string(bytes) + " bytes on the device"; });
  }
  DeviceMemory(DeviceMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), stream_(other.stream_) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(stream_, other.stream_);
    return *this;
  }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() {
    if (data_ != nullptr) cudaFreeAsync(data_, stream_);
  }

  void* data() const { return data_; }
  cudaStream_t stream() const { return stream_; }

 private:
  void* data_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

inline namespace HEED_ABI {

// Copies bytes between host and device, in the stream's order.
inline void copy_bytes(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                       cudaStream_t stream) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, kind, stream), "heed::cuda", [&] {
    return "copying " + std::to_string(bytes) + " bytes " +
           (kind == cudaMemcpyHostToDevice ? "to the device" : "from the device");
  });
}

inline void wait_for(cudaStream_t stream) {
  check(cudaStreamSynchronize(stream), "heed::cuda", [] { return "waiting for a stream"; });
}

// Where the memory at `data` is: readable by a kernel or not, and on which device (−1: the host's).
struct Residence {
  bool on_device;
  int device;
};

inline Residence residence_of(const void* data) {
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, data) != cudaSuccess) {
    cudaGetLastError();
    return {false, -1};
  }
  const bool on_device =
      attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  return {on_device, on_device ? attributes.device : -1};
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
