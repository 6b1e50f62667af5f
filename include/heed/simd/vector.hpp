// Registers as GNU vectors: any width compiles on any machine, so that the shapes of wide
// instruction sets can be run where only narrow ones exist.
#pragma once

#include <utility>

#include "heed/core/types.hpp"

#define HEED_INLINE inline __attribute__((always_inline))

namespace heed::simd {

template <class R, int Lanes>
struct Register {
  // NOLINTNEXTLINE(modernize-use-using): the attribute belongs to a declarator
  typedef R type __attribute__((vector_size(sizeof(R) * Lanes)));
  // The same in memory, at any address, over objects of any type.
  // NOLINTNEXTLINE(modernize-use-using)
  typedef R unaligned
      __attribute__((vector_size(sizeof(R) * Lanes), aligned(alignof(R)), may_alias));
};

// An array whose length is an int, as all sizes of kernels are.
template <class X, int Count>
using Array = X[static_cast<std::size_t>(Count)];

// Integers as wide as R, signed and not.
template <class R>
using SignedBitsOf = std::conditional_t<sizeof(R) == 4, std::int32_t, std::int64_t>;

// What exp2 is made of: 2^x = 2^n · 2^f with n whole and f in [−1/2, 1/2], 2^f a minimax
// polynomial. Its relative error is 2.5e-9 for float and 1.8e-17 for double. 2^0 is exactly 1, so
// that a key seen alone has a weight of exactly 1; degree 5 with that condition would be off
// by 4.3e-7.
template <class R>
struct Exp2;

template <>
struct Exp2<float> {
  static constexpr int mantissa = 23, bias = 127, terms = 7;
  static constexpr float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number
  static constexpr float lowest = -127;        // 2^lowest comes out as exactly 0
  static constexpr float polynomial[terms] = {0.00015461444698569129f,
                                              0.0013400428177615838f,
                                              0.0096180566785246381f,
                                              0.055503272266703021f,
                                              0.24022650922288759f,
                                              0.69314720670283260f,
                                              1.0f};
};

template <>
struct Exp2<double> {
  static constexpr int mantissa = 52, bias = 1023, terms = 12;
  static constexpr double magic = 6755399441055744.0;  // 1.5 · 2^52
  static constexpr double lowest = -1023;
  static constexpr double polynomial[terms] = {
      4.0780816273999343751e-10, 7.0725701698467517908e-9, 1.0180647562417255732e-7,
      1.3215442676609272953e-6,  1.5252727385520852308e-5, 0.00015403530441569954386,
      0.0013333558153439506525,  0.0096181291076070037374, 0.055504108664790397083,
      0.24022650695910098004,    0.69314718055994569671,   1.0};
};

}  // namespace heed::simd
