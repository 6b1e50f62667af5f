// Element types: which types tensors may hold, the type of their sums, and the bits of a masked
// score.
//
// A masked score is −inf, recognised by its bits: with -ffast-math a compiler may assume that
// infinities do not exist and fold a comparison with one away.
#pragma once

#include <cstdint>
#include <type_traits>

#include "heed/core/abi.hpp"
#include "heed/core/device.hpp"

namespace heed {

using Index = std::int64_t;

// Storage format of an element.
enum class Format { binary64, binary32, binary16, bfloat16 };

// Element<T>::Accum is the type of dots, softmax, sums and lse for tensors of T.
// core/eigen.hpp adds Eigen::half and Eigen::bfloat16.
template <class T>
struct Element {};

template <>
struct Element<float> {
  using Accum = float;
  static constexpr Format format = Format::binary32;
  static constexpr const char* name = "float";
};

template <>
struct Element<double> {
  using Accum = double;
  static constexpr Format format = Format::binary64;
  static constexpr const char* name = "double";
};

template <class T>
concept AttentionElement = requires {
  typename Element<T>::Accum;
};

// The compiler's own numbers of 16 bits: _Float16, std::float16_t, std::bfloat16_t.
template <class T>
inline constexpr bool is_float16 = false;
#if defined(__FLT16_MANT_DIG__) && !defined(__CUDACC__)
template <>
inline constexpr bool is_float16<_Float16> = true;
#endif
#if defined(__STDCPP_BFLOAT16_T__) && !defined(__CUDACC__)
template <>
inline constexpr bool is_float16<decltype(0.0bf16)> = true;
#endif

template <AttentionElement T>
using Accum = typename Element<T>::Accum;

inline namespace HEED_ABI {

template <class R>
using BitsOf = std::conditional_t<sizeof(R) == 4, std::uint32_t, std::uint64_t>;

template <class R>
inline constexpr BitsOf<R> masked_bits = static_cast<BitsOf<R>>(sizeof(R) == 4
                                                                    ? 0xff800000u
                                                                    : 0xfff0000000000000u);

// True for −inf: the row does not see the key.
template <class R>
HEED_DEVICE constexpr bool is_masked(R score) {
  return __builtin_bit_cast(BitsOf<R>, score) == masked_bits<R>;
}

// Branch-free select. GCC does not vectorise `?:` on floats under -ftrapping-math.
template <class R>
HEED_DEVICE constexpr R select(bool first, R a, R b) {
  const BitsOf<R> chosen = BitsOf<R>{0} - static_cast<BitsOf<R>>(first);
  return __builtin_bit_cast(R, (__builtin_bit_cast(BitsOf<R>, a) & chosen) |
                                   (__builtin_bit_cast(BitsOf<R>, b) & ~chosen));
}

// `score`, or −inf where `masked`. Bits are chosen, which no -ffast-math touches.
template <class R>
HEED_DEVICE constexpr R mask_if(bool masked, R score) {
  return select(masked, __builtin_bit_cast(R, masked_bits<R>), score);
}

// Neither NaN nor infinite, asked of the exponent bits.
HEED_DEVICE constexpr bool is_finite(float x) {
  return (__builtin_bit_cast(std::uint32_t, x) & 0x7f800000u) != 0x7f800000u;
}
HEED_DEVICE constexpr bool is_finite(double x) {
  return (__builtin_bit_cast(std::uint64_t, x) & 0x7ff0000000000000u) != 0x7ff0000000000000u;
}
HEED_DEVICE constexpr bool is_nan(float x) {
  return (__builtin_bit_cast(std::uint32_t, x) & 0x7fffffffu) > 0x7f800000u;
}
HEED_DEVICE constexpr bool is_nan(double x) {
  return (__builtin_bit_cast(std::uint64_t, x) & 0x7fffffffffffffffu) > 0x7ff0000000000000u;
}

}  // namespace HEED_ABI
}  // namespace heed
