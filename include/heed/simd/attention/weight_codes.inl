// Part of code_products.inl: the weights of a panel of keys, times the scales of their values,
// rounded to unsigned digits of 8 bits.
//
// A panel has a scale of its own, so that weights are lost beside larger ones of 32 keys alone: of
// one scale for a KV block of 512 keys, 511 weights of 1.4e-5 beside one of 1 took 0.7 % of out.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

// Digits of a weight.
template <int Bits>
inline constexpr int weight_digits = 2;

// A weight of a row and panel is scale · (256 · high + low), or scale · high for one digit.
struct WeightCodes {
  float scale;          // a power of 2
  std::int32_t offset;  // what the codes are above their numbers, times the digits; 0 for 8 bits
};

// Words of four digits, in the place of a row's scores: NR high digits, then NR low ones.
HEED_INLINE const std::uint32_t* digits_of(const float* p, int digit) {
  return reinterpret_cast<const std::uint32_t*>(p) + digit * nr<float> / 4;
}

// The power of 2 under which numbers up to `most` have `bits` bits, and its inverse; 0 where they
// are too small. A quotient would keep half a bit more and take longer.
struct PowerScale {
  Vec<float> scale, per_scale;
};
HEED_INLINE PowerScale power_scale(Vec<float> most, int bits) {
  constexpr int mantissa = Exp2<float>::mantissa;
  const CodeWords exponent = (CodeWords)most & (255 << mantissa);
  const CodeWords some = exponent > (16 << mantissa);  // 2^-111
  return {(Vec<float>)(some & (exponent - ((bits - 1) << mantissa))),
          (Vec<float>)(some & (((254 << mantissa) - exponent) + ((bits - 1) << mantissa)))};
}

// Row p [NR] of a panel's weights becomes digits. NaN becomes 0: the softmax's sum makes its row
// NaN.
template <int Bits>
HEED_INLINE WeightCodes pack_weight_codes(float* p, const float* v_scales) {
  constexpr int digits = weight_digits<Bits>, registers = vectors<float>;
  constexpr float limit = digits == 2 ? 65535 : 255;
  Array<Vec<float>, registers> weight, v_scale;
  Vec<float> most{};
#pragma GCC unroll 4
  for (int n = 0; n < registers; ++n) {
    v_scale[n] = load(v_scales + n * vl<float>);
    weight[n] = load(p + n * vl<float>) * maximum(v_scale[n], -v_scale[n]);
    most = maximum(weight[n], most);
  }
  const PowerScale power = power_scale(reduce_max<float>(most), 8 * digits);
  auto* bytes = reinterpret_cast<std::uint8_t*>(p);
  Vec<float> offset{};
#pragma GCC unroll 4
  for (int n = 0; n < registers; ++n) {
    const Vec<float> x = maximum(weight[n] * power.per_scale, Vec<float>{}) + broadcast(0.5F);
    const CodeWords code = __builtin_convertvector(minimum(x, broadcast(limit)), CodeWords);
    store_bytes(digits == 2 ? code >> 8 : code, bytes + n * vl<float>);
    if (digits == 2) store_bytes(code, bytes + nr<float> + n * vl<float>);
    if constexpr (Bits == 4) {
      offset += __builtin_convertvector(code, Vec<float>) * code_offset(v_scale[n]);
    }
  }
  const float sum = Bits == 4 ? reduce_add<float>(offset)[0] : 0;
  return {power.scale[0], static_cast<std::int32_t>(sum)};
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
