// The precision of products of floats, and the kernels that each brings.
#pragma once

#include <type_traits>

#include "heed/core/abi.hpp"
#include "heed/core/eigen.hpp"  // Half, BFloat16
#include "heed/core/types.hpp"
#include "heed/simd/kernels.hpp"

namespace heed {
namespace simd {

// Kernels of floats whose operands are rounded.
struct RoundedKernels {
  const PackedKernels<float>& (*packed)(Isa);
  const GradientKernels<float>& (*gradient)(Isa);
  const LayerKernels<float>& (*layer)(Isa);
};

}  // namespace simd

struct Compute;

// The values of Compute. A static member of a class template is defined where it is used, so a file
// compiles the kernels of the values that it names: those of pairs of bfloat16 were a twentieth of
// a call of float.
template <class Flags = UnitFlags>
struct ComputeValues {
  static const Compute full, bfloat16, half;
};

// Operands as they are (Compute::full), or each rounded to 16 bits on its way into a product
// (Compute::bfloat16, Compute::half). Sums are float in any case.
struct Compute : ComputeValues<> {
  Format operands;
  const simd::RoundedKernels* kernels;  // null: those of T

  [[gnu::always_inline]] constexpr Compute(Format format, const simd::RoundedKernels* of_format)
      : operands(format), kernels(of_format) {}
  [[gnu::always_inline]] friend constexpr bool operator==(Compute a, Compute b) {
    return a.operands == b.operands;
  }
};

namespace simd {
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
const Compute ComputeValues<Flags>::full{Format::binary32, nullptr};
template <class Flags>
const Compute ComputeValues<Flags>::bfloat16{Format::bfloat16, &simd::rounded_kernels<BFloat16>};
template <class Flags>
const Compute ComputeValues<Flags>::half{Format::binary16, &simd::rounded_kernels<Half>};

}  // namespace heed
