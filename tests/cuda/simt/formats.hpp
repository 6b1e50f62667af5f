// The formats of tensor cores in plain C++: widened exactly, and rounded to the nearest, the 16-bit
// ones with ties to even, tf32 with ties away from zero.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "cuda/simt/fault.hpp"
#include "heed/core/types.hpp"
#include "heed/cuda/arch/element.cuh"

namespace heed::simt {

inline float widen(cuda::Bf16 x) { return std::bit_cast<float>(std::uint32_t{x.bits} << 16); }

inline float widen(cuda::F16 x) {
  const std::uint32_t sign = std::uint32_t{x.bits & 0x8000u} << 16;
  const std::uint32_t exponent = (x.bits >> 10) & 0x1fu;
  const std::uint32_t fraction = x.bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float tiny = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -tiny : tiny;
}

// An operand of a product: rounded before, or what the hardware makes of it is not said.
inline float widen(cuda::Tf32 x) {
  if ((x.bits & 0x1fffu) != 0) throw Fault(Wrong::unrounded, "a product of a float, not of tf32");
  return std::bit_cast<float>(x.bits);
}

inline std::uint32_t narrow_tf32(float x) {
  return is_nan(x) ? 0x7fffe000u : (std::bit_cast<std::uint32_t>(x) + 0x1000u) & ~0x1fffu;
}

inline std::uint16_t canonical_nan() { return 0x7fff; }

template <class T>
T narrow(float x);

template <>
inline cuda::Bf16 narrow<cuda::Bf16>(float x) {
  if (x != x) return {canonical_nan()};
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return {static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

template <>
inline cuda::F16 narrow<cuda::F16>(float x) {
  if (x != x) return {canonical_nan()};
  const auto sign = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16 & 0x8000u);
  const float magnitude = std::fabs(x);
  if (magnitude >= 65520.0f) return {static_cast<std::uint16_t>(sign | 0x7c00u)};
  if (magnitude < 0x1p-14f) {  // a multiple of 2⁻²⁴
    return {static_cast<std::uint16_t>(
        sign | static_cast<std::uint32_t>(std::nearbyint(magnitude * 0x1p24f)))};
  }
  const auto bits = std::bit_cast<std::uint32_t>(magnitude);
  const std::uint32_t rounded = bits + 0xfffu + (bits >> 13 & 1u);
  return {static_cast<std::uint16_t>(sign | ((rounded >> 13) - (112u << 10)))};
}

}  // namespace heed::simt
