// Part of code_products.inl: queries rounded to digits of 8 bits.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

// A row of queries as bytes, in the place of its numbers: digits, then a scale and their sums.
struct QueryCodes {
  const std::uint32_t* high;  // [D rounded up to 8] bytes, signed
  const std::uint32_t* low;
  float scale;
  std::int32_t sums[2];  // of the high digits, of the low ones

  static constexpr Index bytes(Index D) { return (D + 7) / 8 * 8; }
  HEED_INLINE static QueryCodes of(const float* row, Index D) {
    const auto* from = reinterpret_cast<const char*>(row);
    QueryCodes codes;
    codes.high = reinterpret_cast<const std::uint32_t*>(from);
    codes.low = reinterpret_cast<const std::uint32_t*>(from + bytes(D));
    __builtin_memcpy(&codes.scale, from + 2 * bytes(D), sizeof codes.scale);
    __builtin_memcpy(codes.sums, from + 2 * bytes(D) + 4, sizeof codes.sums);
    return codes;
  }
};

// The scale of a row x [D] whose largest number becomes `limit`: 0 where that is below 2^-100, NaN
// where a number is not finite.
HEED_INLINE float query_scale(const float* x, Index D, float limit) {
  Exponents<float> exponents{};
  Vec<float> most{};
  for (Index d = 0; d < D; d += vl<float>) {
    const Vec<float> number = load_some_as<float>(x + d, 1, D - d);
    exponents.add(number);
    most = maximum(maximum(number, -number), most);
  }
  const float largest = reduce_max<float>(most)[0];
  if (!exponents.finite()) return __builtin_bit_cast(float, std::uint32_t{0x7fc00000});
  return largest >= 0x1p-100F ? largest / limit : 0;
}

// Rows [rows, D] of float become QueryCodes: x = scale · (256 · high + low), or scale · high for
// one digit.
template <int Digits>
void pack_query_codes(float* x, Index rows, Index D) {
  constexpr float limit = Digits == 2 ? 32639 : 127;  // 127 · 256 + 127
  const auto bytes = static_cast<std::size_t>(QueryCodes::bytes(D));
  for (; rows > 0; --rows, x += D) {
    const float scale = query_scale(x, D, limit);
    const bool some = scale > 0;  // else all codes are 0
    const Vec<float> per_scale = broadcast(some ? 1 / scale : 0);
    std::uint8_t high[CodeKernels::max_code_dim + vl<float>];
    std::uint8_t low[CodeKernels::max_code_dim + vl<float>];
    CodeWords sums[2] = {};
    for (Index d = 0; d < D; d += vl<float>) {
      const Vec<float> number =
          some ? load_some_as<float>(x + d, 1, D - d) * per_scale : Vec<float>{};
      const Vec<float> half = number < 0.0F ? broadcast(-0.5F) : broadcast(0.5F);
      const CodeWords code = __builtin_convertvector(number + half, CodeWords);
      const CodeWords lower = Digits == 2 ? ((code + 128) & 255) - 128 : CodeWords{};
      const CodeWords upper = Digits == 2 ? (code - lower) >> 8 : code;
      store_bytes(upper, high + d);
      store_bytes(lower, low + d);
      sums[0] += upper;
      sums[1] += lower;
    }
    const std::int32_t sum[2] = {sum_of_lanes(sums[0]), sum_of_lanes(sums[1])};
    auto* to = reinterpret_cast<char*>(x);
    __builtin_memcpy(to, high, bytes);
    __builtin_memcpy(to + bytes, low, bytes);
    __builtin_memcpy(to + 2 * bytes, &scale, sizeof scale);
    __builtin_memcpy(to + 2 * bytes + 4, sum, sizeof sum);
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
