// Part of avx512_bf16.hpp: q·kᵀ and p·v on codes, in dot products of bytes (VNNI). Queries and
// weights are rounded to two digits of 8 bits, beside 4-bit codes to one. Sums of a row and a key,
// or of a panel of keys, are exact integers, so their order does not count, and nothing is widened.
// Zhang et al., "SageAttention" (2025), has one digit of q.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

HEED_INLINE CodeWords broadcast_word(std::uint32_t word) {
  return static_cast<std::int32_t>(word) - CodeWords{};
}

// The sum of the lanes of integers.
HEED_INLINE std::int32_t sum_of_lanes(CodeWords x) {
  std::int32_t sum = 0;
  for (int n = 0; n < vl<float>; ++n) sum += x[n];
  return sum;
}

// Operands in digits.
#include "heed/simd/attention/query_codes.inl"
#include "heed/simd/attention/weight_codes.inl"

// The products.
#include "heed/simd/attention/pv_codes.inl"
#include "heed/simd/attention/qk_codes.inl"

template <class R>
inline constexpr CodeKernels code_product_table = [] {
  CodeKernels table = code_table<R>;
  table.products = {.of_4 = {&pack_query_codes<1>, &qk_codes<4>, &pv_codes<4>},
                    .of_8 = {&pack_query_codes<2>, &qk_codes<8>, &pv_codes<8>}};
  return table;
}();

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
