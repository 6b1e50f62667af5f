// The arena of to_device: what masks and scores refer to, copied to the device for one call. Memory
// that is there already is used where it is.
#pragma once

#include <vector>

#include "heed/core/overlap.hpp"
#include "heed/core/span.hpp"
#include "heed/core/view.hpp"
#include "heed/cuda/device/device_memory.cuh"

namespace heed::cuda {

class Arena {
 public:
  explicit Arena(cudaStream_t stream) : stream_(stream) {}

  template <class T>
  Span<T> copy(const Span<T>& host) {
    const auto bytes = static_cast<std::size_t>(host.size()) * sizeof(T);
    return {static_cast<const T*>(copy(host.data(), bytes)), host.size()};
  }

  // All that the view reaches, with its strides.
  template <class T, int Rank>
  View<const T, Rank> copy(const View<const T, Rank>& host) {
    if (host.empty()) return host;
    const ByteRange range = byte_range(host);
    const auto first = reinterpret_cast<std::intptr_t>(host.data) - range.begin;
    const void* bytes = copy(reinterpret_cast<const void*>(range.begin),
                             static_cast<std::size_t>(range.end - range.begin));
    View<const T, Rank> there = host;
    there.data = reinterpret_cast<const T*>(static_cast<const char*>(bytes) + first);
    return there;
  }

 private:
  const void* copy(const void* host, std::size_t bytes) {
    if (bytes == 0 || residence_of(host).on_device) return host;
    blocks_.emplace_back(bytes, stream_);
    copy_bytes(blocks_.back().data(), host, bytes, cudaMemcpyHostToDevice, stream_);
    return blocks_.back().data();
  }

  cudaStream_t stream_;
  std::vector<DeviceMemory> blocks_;
};

}  // namespace heed::cuda
