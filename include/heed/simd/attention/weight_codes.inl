// Part of code_products.inl: the weights of a panel of keys, times the scales of their values,
// rounded to unsigned digits of 8 bits.
//
// A panel has a scale of its own, so that weights are lost beside larger ones of 32 keys alone: of
// one scale for a KV block of 512 keys, 511 weights of 1.4e-5 beside one of 1 took 0.7 % of out.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

// Digits of a weight: two beside values of 8 bits, one beside those of 4. SmolLM2's out (decision
// 048) has an error of 0.0684 in K8V4 so, of 0.0682 with two digits; K4V4's does not change.
template <int Bits>
inline constexpr int weight_digits = Bits == 8 ? 2 : 1;

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
  const CodeWords lowest = CodeWords{} + (16 << mantissa);  // 2^-111
  const CodeWords found = (CodeWords)most & (255 << mantissa);
  const CodeWords some = found > lowest;
  const CodeWords exponent = some ? found : lowest;
  return {(Vec<float>)(some & (exponent - ((bits - 1) << mantissa))),
          (Vec<float>)(some & (((254 << mantissa) - exponent) + ((bits - 1) << mantissa)))};
}

// A panel's weights p [Rows, NR] become digits. NaN becomes 0: the softmax's sum makes its row NaN.
template <int Bits, int Rows>
HEED_INLINE void pack_weight_codes(float* p, const float* v_scales, WeightCodes* codes) {
  constexpr int digits = weight_digits<Bits>, registers = vectors<float>;
  constexpr float limit = digits == 2 ? 65535 : 255;
  Array<Vec<float>, registers> v_scale;
  Array<Array<Vec<float>, registers>, Rows> weight;
  Array<Vec<float>, Rows> most, offset;
#pragma GCC unroll 16
  for (int n = 0; n < Rows * registers; ++n) {
    const int r = n / registers, c = n % registers;
    if (r == 0) v_scale[c] = load(v_scales + c * vl<float>);
    weight[r][c] = load(p + n * vl<float>) * maximum(v_scale[c], -v_scale[c]);
    most[r] = c == 0 ? weight[r][c] : maximum(weight[r][c], most[r]);
  }
  reduce_n<JoinByMax, float, Rows>(most);
  const PowerScale power = power_scale(most[0], 8 * digits);
  Array<float, vl<float>> scale, per_scale, offsets;
  store(scale, power.scale);
  store(per_scale, power.per_scale);
#pragma GCC unroll 16
  for (int n = 0; n < Rows * registers; ++n) {
    const int r = n / registers, c = n % registers;
    const Vec<float> x = weight[r][c] * broadcast(per_scale[joined_at<float, Rows>(r)]);
    const Vec<float> rounded = minimum(maximum(x, Vec<float>{}) + 0.5F, broadcast(limit));
    const CodeWords code = __builtin_convertvector(rounded, CodeWords);
    auto* bytes = reinterpret_cast<std::uint8_t*>(p + r * nr<float>) + c * vl<float>;
    store_bytes(digits == 2 ? code >> 8 : code, bytes);
    if (digits == 2) store_bytes(code, bytes + nr<float>);
    if constexpr (Bits == 4) {
      const Vec<float> above = __builtin_convertvector(code, Vec<float>) * code_offset(v_scale[c]);
      offset[r] = c == 0 ? above : offset[r] + above;
    }
  }
  if constexpr (Bits == 4) {
    reduce_n<JoinBySum, float, Rows>(offset);
    store(offsets, offset[0]);
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    const int at = joined_at<float, Rows>(r);
    codes[r] = {scale[at], Bits == 4 ? static_cast<std::int32_t>(offsets[at]) : 0};
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
