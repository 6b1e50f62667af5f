// Kernels of floats whose operands are rounded, brought by the values of Compute.
#pragma once

#include <type_traits>

#include "heed/core/compute.hpp"
#include "heed/core/eigen.hpp"  // Half, BFloat16
#include "heed/simd/kernels.hpp"

namespace heed {
namespace simd {

struct RoundedKernels {
  const PackedKernels<float>& (*packed)(Isa);
  const GradientKernels<float>& (*gradient)(Isa);
  const LayerKernels<float>& (*layer)(Isa);
};

inline namespace HEED_ABI {

template <class H>
inline constexpr RoundedKernels rounded_kernels{.packed = &rounded_packed_kernels<H>,
                                                .gradient = &rounded_gradient_kernels<H>,
                                                .layer = &rounded_layer_kernels<H>};

// packed_kernels of a precision, which other types than float do not heed.
template <class T>
const PackedKernels<T>& packed_kernels(Isa isa, Compute compute) {
  if constexpr (std::is_same_v<T, float>) {
    if (compute.kernels != nullptr) return compute.kernels->packed(isa);
  }
  return packed_kernels<T>(isa);
}

// The same, for the operands of packed_kernels<T>(isa, compute).
template <class T>
const GradientKernels<T>& gradient_kernels(Isa isa, Compute compute) {
  if constexpr (std::is_same_v<T, float>) {
    if (compute.kernels != nullptr) return compute.kernels->gradient(isa);
  }
  return gradient_kernels<T>(isa);
}

}  // namespace HEED_ABI
}  // namespace simd

template <class Flags>
const Compute ComputeValues<Flags>::bfloat16{Format::bfloat16, &simd::rounded_kernels<BFloat16>};
template <class Flags>
const Compute ComputeValues<Flags>::half{Format::binary16, &simd::rounded_kernels<Half>};

}  // namespace heed
