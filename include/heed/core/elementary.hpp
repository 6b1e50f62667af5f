// exp2 and tanh in polynomials, without branches or calls: a loop over them vectorises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "heed/core/device.hpp"
#include "heed/core/types.hpp"

// Excess precision, as of x87, breaks the exponential, which rounds by adding a large number.
// clang says −1 under -ffast-math; 16 is wider for _Float16 alone.
#if defined(__FLT_EVAL_METHOD__)
#if __FLT_EVAL_METHOD__ == 1 || __FLT_EVAL_METHOD__ == 2 || \
    (__FLT_EVAL_METHOD__ < 0 && !defined(__clang__))
#error "heed needs FLT_EVAL_METHOD 0; on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif
#endif

namespace heed {

// Coefficients of exp2: 2^x = 2^n · 2^f with n whole and f in [−1/2, 1/2], 2^f a minimax
// polynomial. Its relative error is 2.5e-9 for float and 1.8e-17 for double. 2^0 is exactly 1, so
// that a key seen alone has a weight of exactly 1; degree 5 with that condition would be off
// by 4.3e-7.
template <class R>
struct Exp2;

template <>
struct Exp2<float> {
  static constexpr int mantissa = 23, bias = 127, terms = 7;
  static constexpr float magic = 12582912.0f;   // 1.5 · 2^23: adding it rounds to a whole number
  static constexpr float lowest = -127;         // 2^lowest comes out as exactly 0
  static constexpr float lowest_natural = -88;  // so does e^lowest_natural
  static constexpr float log2_e = 1.44269504088896340736f;
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
  static constexpr double lowest_natural = -709;
  static constexpr double log2_e = 1.44269504088896340736;
  static constexpr double polynomial[terms] = {
      4.0780816273999343751e-10, 7.0725701698467517908e-9, 1.0180647562417255732e-7,
      1.3215442676609272953e-6,  1.5252727385520852308e-5, 0.00015403530441569954386,
      0.0013333558153439506525,  0.0096181291076070037374, 0.055504108664790397083,
      0.24022650695910098004,    0.69314718055994569671,   1.0};
};

// log2(x) = e + (m − 1)·polynomial(m − 1), x = 2^e · m with m in [√½, √2): near-minimax, off by
// 8e-9 of (m − 1), so exactly 0 at 1.
struct Log2 {
  static constexpr int terms = 10;
  static constexpr float half_root = 0.707106781f;
  static constexpr float polynomial[terms] = {
      -0.107497894f, 0.184760334f,  -0.191388377f, 0.204857648f,  -0.239608122f,
      0.288552561f,  -0.360696542f, 0.48089852f,   -0.721347354f, 1.44269504f};
};

// tanh(x) is x + x·near(x²) for |x| ≤ 5/8 and 1 − 2t / (1 + t), t = e^(−2|x|), with its sign,
// beyond: its error is 0.35 ulp there in the root mean square, that of (1 − t) / (1 + t) 0.63. The
// polynomial is minimax in relative error: 4e-9 for float, 1e-17 for double.
template <class R>
struct Tanh;

template <>
struct Tanh<float> {
  static constexpr int near_terms = 6;
  static constexpr float near[near_terms] = {-0.00565998915876f, 0.0205909894319f,
                                             -0.0537210688228f,  0.133311275556f,
                                             -0.333332605284f,   -3.925e-9f};
};

template <>
struct Tanh<double> {
  static constexpr int near_terms = 12;
  static constexpr double near[near_terms] = {
      -1.6009572159777468953e-5, 7.7003006379034704662e-5,  -2.2842633581770219524e-4,
      5.8623991721722902015e-4,  -0.0014549321548735728509, 0.0035919831021857288087,
      -0.008863220099462957962,  0.021869487489980542622,   -0.053968253926267834602,
      0.13333333333246063488,    -0.33333333333332621478,   -9.63e-18};
};

// y·x^n + Σ terms[k]·x^(n − k), n the terms from `From` on: with y = terms[0], a polynomial.
template <std::size_t From, class R, std::size_t Terms>
[[gnu::always_inline]] constexpr R horner(const R (&terms)[Terms], R x, R y) {
  if constexpr (From == Terms) {
    return y;
  } else {
    return horner<From + 1>(terms, x, y * x + terms[From]);
  }
}

// 2^x for x in [Exp2::lowest + 1, 0].
template <class R>
[[gnu::always_inline]] constexpr R exp2_of_negative(R x) {
  using E = Exp2<R>;
  const auto whole = static_cast<std::int32_t>(x - R(0.5));  // cut off: the nearest whole number
  const auto power = static_cast<BitsOf<R>>(whole + E::bias) << E::mantissa;
  return horner<1>(E::polynomial, x - static_cast<R>(whole), E::polynomial[0]) *
         __builtin_bit_cast(R, power);
}

// limit·tanh(s / limit) within 3 units in the last place; ±limit at ±inf, NaN for NaN. Neither the
// product with the limit nor, near 0, the quotient is rounded alone. Root mean square in ulp,
// beside limit · tanh(s / limit): 0.30 for 0.53 below 5/8, 0.36 for 0.44 up to 3, 0.29 for 0.37
// beyond.
template <class R>
[[gnu::always_inline]] HEED_DEVICE constexpr R soft_limited(R s, R limit) {
  const R x = s / limit;
#if defined(__CUDA_ARCH__)
  return limit * ::tanh(x);
#else
  constexpr R minus_two_log2e = static_cast<R>(-2.885390081777926814719849362L);
  constexpr R end = sizeof(R) == 4 ? R(10) : R(20);  // ±limit to all digits from here on
  constexpr BitsOf<R> sign = BitsOf<R>{1} << (8 * sizeof(R) - 1);
  const auto bits = __builtin_bit_cast(BitsOf<R>, x);
  const R size = __builtin_bit_cast(R, bits & ~sign);
  const R t = exp2_of_negative(select(size < end, size, end) * minus_two_log2e);
  const R near = s + s * horner<1>(Tanh<R>::near, x * x, Tanh<R>::near[0]);
  const R beyond = limit - limit * (R(2) * t / (R(1) + t));
  const R result = select(size > R(0.625), beyond, near);  // NaN comes out of `near`
  return __builtin_bit_cast(R, (__builtin_bit_cast(BitsOf<R>, result) & ~sign) | (bits & sign));
#endif
}

// tanh(x), as exact.
template <class R>
[[gnu::always_inline]] HEED_DEVICE constexpr R tanh_of(R x) {
  return soft_limited(x, R(1));
}

}  // namespace heed
