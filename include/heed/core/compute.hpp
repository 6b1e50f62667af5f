// The precision of products of floats.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"

namespace heed {

struct Compute;
namespace simd {
struct RoundedKernels;  // simd/compute.hpp
}

// The values of Compute. Those that round are defined beside their kernels, in simd/compute.hpp. A
// static member of a class template is defined where it is used, so a file compiles the kernels of
// the values that it names: those of pairs of bfloat16 were a twentieth of a call of float.
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

template <class Flags>
const Compute ComputeValues<Flags>::full{Format::binary32, nullptr};

}  // namespace heed
