// Tensors on the device: DeviceTensor owns memory, DeviceView refers to somebody else's. Both carry
// the stream in whose order they are written and read; neither ever waits unless told to.
#pragma once

#include <vector>

#include "heed/core/layout.hpp"
#include "heed/core/tensor.hpp"
#include "heed/core/types.hpp"
#include "heed/cuda/device/device_memory.cuh"

// CUDA's 16-bit types are elements by their names alone: <cuda_fp16.h> is the user's to include.
struct __half;
struct __nv_bfloat16;

namespace heed {

template <>
struct Element<__half> {
  using Accum = float;
  static constexpr const char* name = "half";
};

template <>
struct Element<__nv_bfloat16> {
  using Accum = float;
  static constexpr const char* name = "bfloat16";
};

namespace cuda {

// Device memory with a shape, any strides, and a stream; refers to it, owns nothing.
template <class T, int Rank>
struct DeviceView {
  View<T, Rank> tensor;
  cudaStream_t stream = nullptr;
};

// Row-major device memory that frees itself in its stream's order.
//
//   auto q = heed::cuda::to_device(host, stream);   copies
//   heed::cuda::DeviceTensor<float, 4> x({B, H, L, D}, stream);   uninitialised
//   x.copy_to(host);                                waits for the stream
template <class T, int Rank>
class DeviceTensor {
 public:
  DeviceTensor() = default;

  // Throws heed::Error where the size does not fit, or the device's memory does not suffice.
  explicit DeviceTensor(const Extents<Rank>& extent, cudaStream_t stream = nullptr)
      : view_(heed::view(static_cast<T*>(nullptr), extent)),
        memory_(static_cast<std::size_t>(checked_size(view_)) * sizeof(T), stream) {
    view_.data = static_cast<T*>(memory_.data());
  }

  T* data() const { return view_.data; }
  const View<T, Rank>& view() const { return view_; }
  Index extent(int d) const { return view_.extent[d]; }
  Index size() const { return checked_size(view_); }
  cudaStream_t stream() const { return memory_.stream(); }

  // To a host tensor of the same shape; waits for the stream. Throws heed::Error where shapes
  // differ.
  template <class X>
  void copy_to(X&& host) const {
    const auto to = mutable_view_of(host);
    static_assert(sizeof(ScalarOf<X>) == sizeof(T) && rank_of<X> == Rank,
                  "heed::cuda: copy_to wants a host tensor of the same type and rank");
    for (int d = 0; d < Rank; ++d) {
      if (to.extent[d] == view_.extent[d]) continue;
      throw Error("heed::cuda: copy_to a tensor of another shape (device " + to_string(view_) +
                  ", host " + to_string(to) + ")");
    }
    std::vector<unsigned char> packed(static_cast<std::size_t>(size()) * sizeof(T));
    copy_bytes(packed.data(), data(), packed.size(), cudaMemcpyDeviceToHost, stream());
    wait_for(stream());
    using Scalar = ScalarOf<X>;
    const auto* next = reinterpret_cast<const Scalar*>(packed.data());
    each_element(to, [&](Scalar& x) { x = *next++; });
  }

  // Visits the elements of a host view in row-major order.
  template <class S, class Visit>
  static void each_element(const View<S, Rank>& x, const Visit& visit) {
    if (x.empty()) return;
    Extents<Rank> at = {};
    for (;;) {
      Index offset = 0;
      for (int d = 0; d < Rank; ++d) offset += at[d] * x.stride[d];
      visit(x.data[offset]);
      int d = Rank - 1;
      while (d >= 0 && ++at[d] == x.extent[d]) at[d--] = 0;
      if (d < 0) return;
    }
  }

 private:
  View<T, Rank> view_{nullptr, {}, {}};
  DeviceMemory memory_;
};

template <class X>
inline constexpr bool is_on_device = false;
template <class T, int Rank>
inline constexpr bool is_on_device<DeviceTensor<T, Rank>> = true;
template <class T, int Rank>
inline constexpr bool is_on_device<DeviceView<T, Rank>> = true;
template <class X>
inline constexpr bool is_on_device<const X> = is_on_device<X>;
template <class X>
inline constexpr bool is_on_device<X&> = is_on_device<X>;
template <class X>
inline constexpr bool is_on_device<Blhd<X>> = is_on_device<X>;
template <class X>
inline constexpr bool is_on_device<Dlhb<X>> = is_on_device<X>;

inline namespace HEED_ABI {

// Device memory of somebody else as a tensor: on_device(heed::view(ptr, {B, H, L, D}), stream).
template <class T, int Rank>
DeviceView<T, Rank> on_device(const View<T, Rank>& tensor, cudaStream_t stream = nullptr) {
  return {tensor, stream};
}

// A copy on the device of any host tensor, packed. The host's memory may change once this returns.
template <TensorLike X>
DeviceTensor<ScalarOf<X>, rank_of<X>> to_device(const X& host, cudaStream_t stream = nullptr) {
  using T = ScalarOf<X>;
  constexpr int rank = rank_of<X>;
  const auto from = view_of(host);
  DeviceTensor<T, rank> device(from.extent, stream);
  std::vector<unsigned char> packed(static_cast<std::size_t>(device.size()) * sizeof(T));
  auto* next = reinterpret_cast<T*>(packed.data());
  DeviceTensor<T, rank>::each_element(from, [&](const T& x) { *next++ = x; });
  copy_bytes(device.data(), packed.data(), packed.size(), cudaMemcpyHostToDevice, stream);
  return device;
}

template <class T, int Rank>
cudaStream_t stream_of(const DeviceTensor<T, Rank>& x) {
  return x.stream();
}
template <class T, int Rank>
cudaStream_t stream_of(const DeviceView<T, Rank>& x) {
  return x.stream;
}
template <class X>
cudaStream_t stream_of(const Blhd<X>& x) {
  return stream_of(x.get());
}
template <class X>
cudaStream_t stream_of(const Dlhb<X>& x) {
  return stream_of(x.get());
}

}  // namespace HEED_ABI
}  // namespace cuda

template <class T, int Rank>
struct TensorTraits<cuda::DeviceTensor<T, Rank>> {
  using Scalar = T;
  static constexpr int rank = Rank;
  template <class S>
  using Owned = cuda::DeviceTensor<S, Rank>;
  template <class S>
  using Rows = cuda::DeviceTensor<S, Rank - 1>;

  static View<const T, Rank> view(const cuda::DeviceTensor<T, Rank>& x) {
    return x.view().as_const();
  }
  static View<T, Rank> mutable_view(const cuda::DeviceTensor<T, Rank>& x) { return x.view(); }
  template <class S>
  static View<S, Rank> owned_view(Owned<S>& x) {
    return x.view();
  }
  template <class S>
  static View<S, Rank - 1> rows_view(Rows<S>& x) {
    return x.view();
  }
};

template <class T, int Rank>
struct TensorTraits<cuda::DeviceView<T, Rank>>
    : TensorTraits<cuda::DeviceTensor<std::remove_const_t<T>, Rank>> {
  using X = cuda::DeviceView<T, Rank>;
  static constexpr bool refers = true;
  static View<const std::remove_const_t<T>, Rank> view(const X& x) { return x.tensor.as_const(); }
  static View<T, Rank> mutable_view(const X& x) { return x.tensor; }
};

}  // namespace heed
