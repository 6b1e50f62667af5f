// Part of code_products.inl: q·kᵀ of queries in digits and keys in codes.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

// Words of codes as bytes above their least: one register of 8-bit codes, two of 4-bit ones.
template <int Bits>
HEED_INLINE CodeWords unsigned_bytes(CodeWords word, int part) {
  if constexpr (Bits == 8) return word ^ static_cast<std::int32_t>(0x80808080U);
  return word >> (4 * part) & 0x0f0f0f0f;
}
// Sums to begin with where digits add up to `digits`.
template <int Bits>
HEED_INLINE CodeWords first_sum(std::int32_t digits) {
  return (Bits == 8 ? -128 : -8) * digits - CodeWords{};
}

// 256 · high + low, or high alone.
template <int Digits>
HEED_INLINE Vec<float> join_digits(CodeWords high_sum, CodeWords low_sum) {
  const Vec<float> high = __builtin_convertvector(high_sum, Vec<float>);
  if constexpr (Digits == 1) return high;
  return fma(high, broadcast(256.0F), __builtin_convertvector(low_sum, Vec<float>));
}

// An infinite product of scales as the largest number, so that a sum of 0 stays 0.
HEED_INLINE Vec<float> clipped(Vec<float> scale) {
  constexpr float most = 3.40282347e38F;
  return maximum(broadcast(-most), minimum(broadcast(most), scale));
}

// s of Rows queries and a panel of keys. The panel's values are fetched into L2 for pv_codes, which
// fetches the next block's keys.
template <int Bits, int Rows>
HEED_INLINE void qk_codes_panel(const CodePanel& panel, const float* q, Index D, float* s) {
  constexpr int digits = Bits == 8 ? 2 : 1, in_word = 32 / Bits, registers = vectors<float>;
  Array<QueryCodes, Rows> row;
  Array<Array<Array<CodeWords, digits>, registers>, Rows> sum;
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    row[r] = QueryCodes::of(q + r * D, D);
#pragma GCC unroll 16
    for (int n = 0; n < registers * digits; ++n) {
      sum[r][n / digits][n % digits] = first_sum<Bits>(row[r].sums[n % digits]);
    }
  }
  const std::uint32_t* k = panel.k;
  for (Index w = 0; w < (D + in_word - 1) / in_word; ++w, k += nr<float>) {
    Array<Array<CodeWords, in_word / 4>, registers> key;
#pragma GCC unroll 16
    for (int n = 0; n < registers; ++n) {
      __builtin_prefetch(panel.v + (k - panel.k) + n * vl<float>, 0, 2);  // for pv_codes
      const CodeWords word = load_words(k + n * vl<float>);
#pragma GCC unroll 2
      for (int part = 0; part < in_word / 4; ++part) {
        key[n][part] = unsigned_bytes<Bits>(word, part);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
      for (int part = 0; part < in_word / 4; ++part) {
        const Index at = w * (in_word / 4) + part;
        const CodeWords high = broadcast_word(row[r].high[at]);
#pragma GCC unroll 16
        for (int n = 0; n < registers; ++n)
          sum[r][n][0] = add_bytes(sum[r][n][0], key[n][part], high);
        if constexpr (digits == 2) {
          const CodeWords low = broadcast_word(row[r].low[at]);
#pragma GCC unroll 16
          for (int n = 0; n < registers; ++n)
            sum[r][n][1] = add_bytes(sum[r][n][1], key[n][part], low);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int n = 0; n < registers; ++n) {
    const Vec<float> scale = load(panel.k_scales + n * vl<float>);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      store(s + r * nr<float> + n * vl<float>,
            join_digits<digits>(sum[r][n][0], sum[r][n][digits - 1]) *
                clipped(scale * broadcast(row[r].scale)));
    }
  }
}

template <int Bits>
struct QkCodes {
  const CodePanel& panel;
  RaggedTile tile;
  Index D;
  const float* q;
  float* scores;

  template <int Rows>
  HEED_INLINE void run(int row) const {
    qk_codes_panel<Bits, Rows>(panel, q + row * D, D, scores + row * nr<float>);
  }
};

// q·kᵀ; rows of q are QueryCodes. Scores beyond the last key are unspecified.
//   panels  of the columns of `scores`
template <int Bits>
void qk_codes(const PackedA<const float>& q, const CodePanel* panels,
              const ScoreTiles<float>& scores) {
  constexpr ConstantShape<tile_shape<float>> shape;
  const auto s = scores.in(shape);
  const auto rows = q.in(shape);
  for_each_ragged_tile(
      s, [&](int g, int p, const RaggedTile& here) __attribute__((always_inline)) {
        run_rows(QkCodes<Bits>{panels[p], here, q.k, rows.tile(g), s.tile(g, p)});
      });
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
