#include "cuda/device/calls.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <heed/cuda.hpp>

#include "cuda/operations.cuh"

namespace heed::test {
namespace {

class Stream {
 public:
  Stream() { cudaStreamCreate(&stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

template <class T, class Bits>
View<T, 4> as(const View<Bits, 4>& x) {
  return {reinterpret_cast<T*>(x.data),
          {x.extent[0], x.extent[1], x.extent[2], x.extent[3]},
          {x.stride[0], x.stride[1], x.stride[2], x.stride[3]}};
}

template <class T, class Bits, class R>
void call(const View<const Bits, 4>& q, const View<const Bits, 4>& k, const View<const Bits, 4>& v,
          const View<Bits, 4>& out, const View<R, 3>& lse, DeviceMask mask,
          const Options& options) {
  const Stream stream;
  const auto device_q = cuda::to_device(as<const T>(q), stream);
  const auto device_k = cuda::to_device(as<const T>(k), stream);
  const auto device_v = cuda::to_device(as<const T>(v), stream);
  const std::vector<int> lengths(static_cast<std::size_t>(q.extent[0]),
                                 static_cast<int>(k.extent[2] * 3 / 4));
  const auto attend = [&](const auto& m) {
    const auto result = cuda::attention(device_q, device_k, device_v, m, score::None{}, options);
    result.out.copy_to(as<T>(out));
    result.lse.copy_to(lse);
  };
  if (mask == DeviceMask::none) attend(mask::None{});
  if (mask == DeviceMask::causal) attend(mask::causal());
  if (mask == DeviceMask::window) attend(mask::window(40, 9));
  if (mask == DeviceMask::padding) attend(mask::padding(lengths));
}

template <class Product>
__global__ void one_product_kernel(const float* a, const float* b, float* c) {
  Product::run(a, b, c);
}

template <class Product>
std::vector<float> run_product(const SmallIntegers& in) {
  const auto a = cuda::to_device(view(in.a.data(), {16, 16}));
  const auto b = cuda::to_device(view(in.b.data(), {16, 8}));
  const cuda::DeviceTensor<float, 2> c({16, 8});
  one_product_kernel<Product><<<1, 32, Product::shared_bytes>>>(a.data(), b.data(), c.data());
  std::vector<float> result(in.c.size());
  c.copy_to(view(result.data(), {16, 8}));
  return result;
}

template <class T>
std::vector<float> run_product(const SmallIntegers& in, bool transposed) {
  return transposed ? run_product<OneProduct<T, true>>(in) : run_product<OneProduct<T, false>>(in);
}

}  // namespace

std::vector<float> one_product(const SmallIntegers& in, bool half, bool transposed) {
  return half ? run_product<cuda::F16>(in, transposed) : run_product<cuda::Bf16>(in, transposed);
}
std::vector<float> one_tf32_product(const SmallIntegers& in, bool transposed) {
  return transposed ? run_product<OneTf32Product<true>>(in)
                    : run_product<OneTf32Product<false>>(in);
}

#define HEED_DEVICE_CALL(name, T, Bits, R)                                                 \
  void name(const View<const Bits, 4>& q, const View<const Bits, 4>& k,                    \
            const View<const Bits, 4>& v, const View<Bits, 4>& out, const View<R, 3>& lse, \
            DeviceMask mask, const Options& options) {                                     \
    call<T>(q, k, v, out, lse, mask, options);                                             \
  }
HEED_DEVICE_CALL(attention_float, float, float, float)
HEED_DEVICE_CALL(attention_double, double, double, double)
HEED_DEVICE_CALL(attention_half, __half, HalfBits, float)
HEED_DEVICE_CALL(attention_bfloat16, __nv_bfloat16, HalfBits, float)

int devices() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

void call_with_host_pointer() {
  std::vector<float> host(6);
  const auto x = cuda::on_device(view(host.data(), {1, 1, 2, 3}));
  cuda::attention(x, x, x);
}

void allocate_too_much() { cuda::DeviceTensor<float, 1> x({Index{1} << 50}); }

}  // namespace heed::test
