// The kernel of a problem: by element type, and by the sizes of a head.
#pragma once

#include <type_traits>

#include "heed/cuda/kernel/forward.cuh"
#include "heed/cuda/kernel/mainloop_simt.cuh"
#include "heed/cuda/kernel/mainloop_sm80.cuh"

namespace heed::cuda {

// The mainloop for elements T.
template <class KernelTraits, class T>
using MainloopOf = std::conditional_t<std::is_floating_point_v<T>, MainloopSimt<KernelTraits, T>,
                                      MainloopSm80<KernelTraits, T>>;

inline namespace HEED_ABI {

template <class T>
constexpr const char* instruction_of() {
  if (std::is_floating_point_v<T>) return "CUDA cores";
  return std::is_same_v<T, Tf32> ? "mma.sync m16n8k8 tf32" : "mma.sync m16n8k16";
}

// Calls visit(call, std::type_identity<Kernel>) for the kernel of a problem; floats go through
// tensor cores if `tf32`. Returns what the kernel computes with.
template <class T, class M, class S, class Visit>
const char* visit_kernel(const Problem<T>& problem, const M& mask, const S& score,
                         const Accum<T>* sinks, bool tf32, const Visit& visit) {
  return visit_element<T>(tf32, [&](auto element) {
    using Bits = decltype(element);
    const auto call = make_forward_call<Bits>(problem, mask, score, sinks);
    dispatch_traits<Bits>(problem.shape.D, problem.shape.Dv, [&](auto traits) {
      using Loop = MainloopOf<decltype(traits), Bits>;
      visit(call, std::type_identity<ForwardKernel<Loop, M, S>>{});
    });
    return instruction_of<Bits>();
  });
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
