// One checked forward call as a kernel takes it: by value, everything it points to on the device.
#pragma once

#include <cstdint>
#include <type_traits>

#include "heed/attention/problem.hpp"
#include "heed/cuda/arch/element.cuh"

namespace heed::cuda {

// T is F16, Bf16 or Tf32 for tensor cores, float or double without them; R is the type of sums.
template <class T, class R>
struct ForwardParams {
  View<const T, 4> q;  // [B, Hq,  Lq, D]
  View<const T, 4> k;  // [B, Hkv, Lk, D]
  View<const T, 4> v;  // [B, Hkv, Lk, Dv]
  View<T, 4> out;      // [B, Hq,  Lq, Dv]
  View<R, 3> lse;      // [B, Hq,  Lq], natural log; no data: not wanted
  Shape shape;
  R scale;  // |scale|, or 1 where it is 0
  R sign;   // q · k is multiplied by it first; −1, 0 or 1
  Dropout dropout;
  const R* sinks;                                     // [Hq]; none: nullptr
  bool q_vectors, k_vectors, v_vectors, out_vectors;  // rows are aligned runs of 16 bytes
};

template <class T, class R, class M, class S>
struct ForwardCall : ForwardParams<T, R> {
  M mask;
  S score;
};

inline namespace HEED_ABI {

// True where every run of `run` elements starts at a multiple of the run's bytes.
template <class T>
bool in_runs(const View<T, 4>& x, Index run) {
  if (x.empty()) return true;
  const Index bytes = run * static_cast<Index>(sizeof(T));
  if (x.stride[3] != 1 && x.extent[3] > 1) return false;
  if (reinterpret_cast<std::intptr_t>(x.data) % bytes != 0) return false;
  for (int d = 0; d < 3; ++d) {
    if (x.extent[d] > 1 && x.stride[d] % run != 0) return false;
  }
  return true;
}

// The same memory as the bits that tensor cores take.
template <class Bits, class T>
auto as_bits(const View<T, 4>& x) {
  using Pointee = std::conditional_t<std::is_const_v<T>, const Bits, Bits>;
  return View<Pointee, 4>{reinterpret_cast<Pointee*>(x.data),
                          {x.extent[0], x.extent[1], x.extent[2], x.extent[3]},
                          {x.stride[0], x.stride[1], x.stride[2], x.stride[3]}};
}

// Calls visit(Bits{}) with what a kernel takes tensors of T as; floats are Tf32 if `tf32`. Eigen's
// half and CUDA's have one name, and one kernel.
template <class T, class Visit>
auto visit_element(bool tf32, const Visit& visit) {
  if constexpr (sizeof(T) == 2) {
    return visit(std::conditional_t<Element<T>::name[0] == 'h', F16, Bf16>{});
  } else {
    if constexpr (std::is_same_v<T, float>) {
      if (tf32) return visit(Tf32{});
    }
    return visit(T{});
  }
}

// The call of a problem whose tensors, mask, score and sinks are on the device. The maximum on
// tensor cores is that of q·k before it is scaled, so the scale's sign goes to q·k, and a scale of
// 0 too.
template <class Bits, class T, class M, class S>
ForwardCall<Bits, Accum<T>, M, S> make_forward_call(const Problem<T>& problem, const M& mask,
                                                    const S& score, const Accum<T>* sinks) {
  using R = Accum<T>;
  constexpr Index chunk = 16 / static_cast<Index>(sizeof(T));
  const auto wanted = static_cast<R>(problem.scale);
  const R sign = wanted > 0 ? R(1) : wanted < 0 ? R(-1) : R(0);
  return {{as_bits<Bits>(problem.q), as_bits<Bits>(problem.k), as_bits<Bits>(problem.v),
           as_bits<Bits>(problem.out), problem.lse, problem.shape, sign == 0 ? R(1) : wanted * sign,
           sign, problem.dropout, sinks, in_runs(problem.q, chunk), in_runs(problem.k, chunk),
           in_runs(problem.v, chunk), in_runs(problem.out, chunk)},
          mask,
          score};
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
