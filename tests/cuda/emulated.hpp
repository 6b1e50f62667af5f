// heed's CUDA kernels on the emulator, called as the front door calls them on a device.
#pragma once

#include "heed/cuda/flash_forward.cuh"
#include "support/problem.hpp"

namespace heed::test {

template <class T>
using TensorCoreElement = std::conditional_t<std::is_same_v<T, Half>, cuda::F16, cuda::Bf16>;

// The same memory as the bits that tensor cores take.
template <class T>
auto bits_of(const View<T, 4>& x) {
  using Bits = TensorCoreElement<std::remove_const_t<T>>;
  using Pointee = std::conditional_t<std::is_const_v<T>, const Bits, Bits>;
  return View<Pointee, 4>{reinterpret_cast<Pointee*>(x.data),
                          {x.extent[0], x.extent[1], x.extent[2], x.extent[3]},
                          {x.stride[0], x.stride[1], x.stride[2], x.stride[3]}};
}

// All that a view reaches.
template <class T, int Rank>
void allow(simt::GlobalMemory& global, const View<T, Rank>& x) {
  if (x.empty()) return;
  const ByteRange range = byte_range(x);
  global.add(reinterpret_cast<const char*>(range.begin),
             static_cast<std::size_t>(range.end - range.begin));
}

// What tests pass on: results as heed::attention has them, and what the emulator counted.
template <class T>
struct Emulated {
  Tensor4<T> out;
  Tensor3<float> lse;
  simt::Counts counts;
};

struct NoArena {
  template <class X>
  X copy(const X& x) const {
    return x;  // an emulated device shares the host's memory
  }
};

template <class T, class M = mask::None, class S = score::None>
simt::Counts emulate_into(const View<T, 4>& out, const View<float, 3>& lse,
                          const View<const T, 4>& q, const View<const T, 4>& k,
                          const View<const T, 4>& v, const M& mask = {}, const S& score = {},
                          const Options& options = {}, bool backwards = false) {
  const Shape shape =
      check_call("heed::cuda::attention", q, k, v, as_mask(mask), as_score(score), options);
  NoArena arena;
  const auto call = cuda::tensor_core_call(
      shape, bits_of(q), bits_of(k), bits_of(v), bits_of(out), lse, scale_of(options, shape),
      Dropout::of(options.dropout, options.seed), mask::to_device(as_mask(mask), arena),
      score::to_device(as_score(score), arena));
  simt::GlobalMemory global;
  allow(global, q);
  allow(global, k);
  allow(global, v);
  allow(global, out);
  allow(global, lse);
  simt::Counts counts;
  cuda::with_cut(shape.D, shape.Dv, [&](auto cut) {
    using Cut = decltype(cut);
    using Kernel = cuda::FlashForward<Cut, TensorCoreElement<T>,
                                      std::remove_cvref_t<decltype(call.mask)>,
                                      std::remove_cvref_t<decltype(call.score)>>;
    const simt::Launch launch{cuda::Tasks::of(shape, Cut::queries, Cut::width).count(),
                              Cut::threads, Cut::shared_bytes, backwards};
    counts = simt::Machine::run(launch, global, [&call] { Kernel::run(call); });
  });
  return counts;
}

template <class T, class M = mask::None, class S = score::None>
Emulated<T> emulate(const View<const T, 4>& q, const View<const T, 4>& k,
                    const View<const T, 4>& v, const M& mask = {}, const S& score = {},
                    const Options& options = {}, bool backwards = false) {
  Emulated<T> result{Tensor4<T>(q.extent[0], q.extent[1], q.extent[2], v.extent[3]),
                     Tensor3<float>(q.extent[0], q.extent[1], q.extent[2]), {}};
  result.counts =
      emulate_into(mutable_view_of(result.out), rows_view(result.lse), q, k, v, mask, score,
                   options, backwards);
  return result;
}

}  // namespace heed::test
