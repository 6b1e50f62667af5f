#include "cuda/emulated.hpp"

#include "heed/cuda/kernel/flash_forward.cuh"
#include "heed/cuda/kernel/plain_forward.cuh"

namespace heed::test {
namespace {

// The same memory as the bits that tensor cores take.
template <class Bits, class T>
auto as_bits(const View<T, 4>& x) {
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

// An emulated device shares the host's memory.
struct NoArena {
  template <class X>
  X copy(const X& x) const {
    return x;
  }
};

template <class KernelTraits, class Kernel, class Call>
simt::Counts launch(const Call& call, const simt::GlobalMemory& global, bool backwards) {
  const auto tasks =
      cuda::TileScheduler::of(call.shape, KernelTraits::queries, KernelTraits::width).count();
  return simt::Machine::run({tasks, KernelTraits::threads, KernelTraits::shared_bytes, backwards},
                            global, [&call] { Kernel::run(call); });
}

template <class T, class S>
simt::Counts run(const View<T, 4>& out, const View<Accum<T>, 3>& lse, const View<const T, 4>& q,
                 const View<const T, 4>& k, const View<const T, 4>& v, const mask::any& mask,
                 const S& score, const Options& options, bool backwards) {
  Options checked = options;
  checked.tf32 = false;
  const Shape shape = check_call("heed::cuda::attention", q, k, v, mask, score, checked);
  const double scale = scale_of(options, shape);
  const Dropout dropout = Dropout::of(options.dropout, options.seed);
  simt::GlobalMemory global;
  allow(global, q);
  allow(global, k);
  allow(global, v);
  allow(global, out);
  allow(global, lse);
  NoArena arena;
  const auto device_score = score::to_device(score, arena);
  simt::Counts counts;
  const auto on_tensor_cores = [&](auto element) {
    using Bits = decltype(element);
    const auto call =
        cuda::tensor_core_call(shape, as_bits<Bits>(q), as_bits<Bits>(k), as_bits<Bits>(v),
                               as_bits<Bits>(out), lse, scale, dropout, mask, device_score);
    cuda::dispatch_traits<Bits>(shape.D, shape.Dv, [&](auto cut) {
      using KernelTraits = decltype(cut);
      using Kernel = cuda::FlashForward<KernelTraits, Bits, mask::any,
                                        std::remove_const_t<decltype(device_score)>>;
      counts = launch<KernelTraits, Kernel>(call, global, backwards);
    });
  };
  if constexpr (std::is_same_v<T, Half>) {
    on_tensor_cores(cuda::F16{});
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    on_tensor_cores(cuda::Bf16{});
  } else {
    if constexpr (std::is_same_v<T, float>) {
      if (options.tf32) {
        on_tensor_cores(cuda::Tf32{});
        return counts;
      }
    }
    const auto call =
        cuda::plain_call(shape, q, k, v, out, lse, scale, dropout, mask, device_score);
    cuda::with_plain_cut<T>(shape.Dv, [&](auto cut) {
      using KernelTraits = decltype(cut);
      using Kernel = cuda::PlainForward<KernelTraits, T, mask::any,
                                        std::remove_const_t<decltype(device_score)>>;
      counts = launch<KernelTraits, Kernel>(call, global, backwards);
    });
  }
  return counts;
}

}  // namespace

template <class T>
simt::Counts emulate_into(const View<T, 4>& out, const View<Accum<T>, 3>& lse,
                          const View<const T, 4>& q, const View<const T, 4>& k,
                          const View<const T, 4>& v, const mask::any& mask,
                          const ErasedScore& score, const Options& options, bool backwards) {
  if (score) return run(out, lse, q, k, v, mask, as_score(score), options, backwards);
  return run(out, lse, q, k, v, mask, score::None{}, options, backwards);
}

#define HEED_EMULATE(T)                                                                   \
  template simt::Counts emulate_into<T>(const View<T, 4>&, const View<Accum<T>, 3>&,      \
                                        const View<const T, 4>&, const View<const T, 4>&, \
                                        const View<const T, 4>&, const mask::any&,        \
                                        const ErasedScore&, const Options&, bool);
HEED_EMULATE(float)
HEED_EMULATE(double)
HEED_EMULATE(Half)
HEED_EMULATE(BFloat16)

}  // namespace heed::test
