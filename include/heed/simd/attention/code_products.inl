// Part of avx512_bf16.hpp: q·kᵀ and p·v on codes, in dot products of bytes (VNNI). Queries and
// weights are rounded to 16 bits, two digits of 8; q beside 4-bit keys to 8. Sums of a row and a
// key, or of a KV block, are exact integers, so their order does not count. Codes are multiplied
// above their least, as unsigned bytes; what that adds is taken off before.
//
// The two digits take half the multiplications of float and nothing is widened. Zhang et al.,
// "SageAttention" (2025), has one digit of q.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

// Bytes of a row of queries, in the place of its numbers: digits, then a scale and corrections.
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

// Rows [rows, D] of float become QueryCodes: x = scale · (256 · high + low), or scale · high for
// one digit. A row that is not finite has the scale NaN.
template <int Digits>
void pack_query_codes(float* x, Index rows, Index D) {
  constexpr float limit = Digits == 2 ? 32639 : 127;  // 127 · 256 + 127
  for (; rows > 0; --rows, x += D) {
    float largest = 0;
    bool finite = true;
    for (Index d = 0; d < D; ++d) {
      const float magnitude = x[d] < 0 ? -x[d] : x[d];
      finite &= is_finite(x[d]);
      largest = magnitude > largest ? magnitude : largest;
    }
    const bool some = finite && largest >= 0x1p-100F;
    const float per_scale = some ? limit / largest : 0;
    std::int8_t high[CodeKernels::max_code_dim], low[CodeKernels::max_code_dim];
    std::int32_t sums[2] = {};
    for (Index d = 0; d < QueryCodes::bytes(D); ++d) {
      const float number = some && d < D ? x[d] * per_scale : 0;
      const auto code = static_cast<int>(number + (number < 0 ? -0.5F : 0.5F));
      const int lower = Digits == 2 ? ((code + 128) & 255) - 128 : 0;
      const int upper = Digits == 2 ? (code - lower) / 256 : code;
      high[d] = static_cast<std::int8_t>(upper);
      low[d] = static_cast<std::int8_t>(lower);
      sums[0] += upper;
      sums[1] += lower;
    }
    const float scale = finite ? (some ? largest / limit : 0)
                               : __builtin_bit_cast(float, std::uint32_t{0x7fc00000});
    auto* to = reinterpret_cast<char*>(x);
    const auto bytes = static_cast<std::size_t>(QueryCodes::bytes(D));
    __builtin_memcpy(to, high, bytes);
    __builtin_memcpy(to + bytes, low, bytes);
    __builtin_memcpy(to + 2 * bytes, &scale, sizeof scale);
    __builtin_memcpy(to + 2 * bytes + 4, sums, sizeof sums);
  }
}

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

HEED_INLINE CodeWords broadcast_word(std::uint32_t word) {
  return static_cast<std::int32_t>(word) - CodeWords{};
}

// s of Rows queries and a panel of keys. The panel's values are prefetched for pv_codes, which
// reads them with gaps: 2.03 to 1.48 ms of a call (Zen 4, K8V8, 8192 keys of 8 heads, D 128), 1.27
// to 1.07 in K4V4, beside prefetching them there.
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
      __builtin_prefetch(k + n * vl<float> + prefetched_panel<float>, 0, 2);
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
                (scale * broadcast(row[r].scale)));
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

// The weights of one row of a row tile, times the values' scales, in the place of its scores:
// NR high bytes of a panel, then NR low ones.
struct WeightCodes {
  float scale;
  std::int32_t sums[2];  // of the high digits, of the low ones
};

HEED_INLINE const std::uint32_t* weight_digits(const float* p, int digit) {
  return reinterpret_cast<const std::uint32_t*>(reinterpret_cast<const char*>(p) +
                                                digit * nr<float>);
}

// Register n of row r's weights of a panel, times the scales, which may be negative.
template <class Tiles>
HEED_INLINE Vec<float> scaled_weights(const Tiles& p, int g, int r, int panel, int n,
                                      const CodePanel* panels) {
  return load(p.tile(g, panel) + r * nr<float> + n * vl<float>) *
         load(panels[panel].v_scales + n * vl<float>);
}

template <class Tiles>
HEED_INLINE float largest_weight(const Tiles& p, int g, int r, const CodePanel* panels) {
  Vec<float> most{};
  for (int panel = 0; panel < p.panels; ++panel) {
    if (!p.live(g, panel)) continue;
    for (int n = 0; n < vectors<float>; ++n) {
      const Vec<float> weight = scaled_weights(p, g, r, panel, n, panels);
      most = maximum(maximum(weight, -weight), most);
    }
  }
  return reduce_max<float>(most)[0];
}

template <class Tiles>
HEED_INLINE WeightCodes pack_weight_codes(const Tiles& p, int g, int r, const CodePanel* panels) {
  constexpr float limit = 32639;  // 127 · 256 + 127
  const float largest = largest_weight(p, g, r, panels);
  const float per_scale = largest >= 0x1p-110F ? limit / largest : 0;
  CodeWords high_sum{}, low_sum{};
  for (int panel = 0; panel < p.panels; ++panel) {
    if (!p.live(g, panel)) continue;
    Array<CodeWords, vectors<float>> code;
#pragma GCC unroll 4
    for (int n = 0; n < vectors<float>; ++n) {
      // NaN, whose row the softmax's sum makes NaN, becomes a code too.
      const Vec<float> x = maximum(scaled_weights(p, g, r, panel, n, panels) * broadcast(per_scale),
                                   broadcast(-limit));
      const Vec<float> half = x < 0.0F ? broadcast(-0.5F) : broadcast(0.5F);
      code[n] = __builtin_convertvector(x + half, CodeWords);
    }
    auto* bytes = reinterpret_cast<std::uint8_t*>(p.tile(g, panel) + r * nr<float>);
#pragma GCC unroll 4
    for (int n = 0; n < vectors<float>; ++n) {
      const CodeWords low = ((code[n] + 128) & 255) - 128, high = (code[n] - low) >> 8;
      store_bytes(high, bytes + n * vl<float>);
      store_bytes(low, bytes + nr<float> + n * vl<float>);
      high_sum += high;
      low_sum += low;
    }
  }
  WeightCodes codes{largest >= 0x1p-110F ? largest / limit : 0, {}};
  for (int n = 0; n < vl<float>; ++n) {
    codes.sums[0] += high_sum[n];
    codes.sums[1] += low_sum[n];
  }
  return codes;
}

// o += p·v of Rows rows and N registers of columns from d on, all panels.
template <int Bits, int Rows, int N, class Tiles, class Acc>
HEED_INLINE void pv_codes_block(const Tiles& p, int g, int row, const CodePanel* panels, Index d,
                                const WeightCodes* codes, const Acc& acc) {
  constexpr int in_word = 32 / Bits;
  Array<Array<Array<CodeWords, 2>, N>, Rows> sum;
#pragma GCC unroll 16
  for (int n = 0; n < Rows * N * 2; ++n) {
    const int r = n / (2 * N);
    sum[r][n / 2 % N][n % 2] = first_sum<Bits>(codes[r].sums[n % 2]);
  }
  for (int panel = 0; panel < p.panels; ++panel) {
    if (!p.live(g, panel)) continue;
    const std::uint32_t* v = panels[panel].v + d;
    const float* at = p.tile(g, panel) + row * nr<float>;
    for (int w = 0; w < nr<float> / in_word; ++w, v += acc.columns) {
      Array<Array<CodeWords, in_word / 4>, N> value;
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) {
        const CodeWords word = load_words(v + n * vl<float>);
#pragma GCC unroll 2
        for (int part = 0; part < in_word / 4; ++part) {
          value[n][part] = unsigned_bytes<Bits>(word, part);
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
        for (int part = 0; part < in_word / 4; ++part) {
#pragma GCC unroll 16
          for (int digit = 0; digit < 2; ++digit) {
            const CodeWords weight =
                broadcast_word(weight_digits(at + r * nr<float>, digit)[w * (in_word / 4) + part]);
#pragma GCC unroll 16
            for (int n = 0; n < N; ++n) {
              sum[r][n][digit] = add_bytes(sum[r][n][digit], value[n][part], weight);
            }
          }
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) {
      float* to = &acc.tile_at(g, row + r, d + n * vl<float>);
      store(to,
            fma(broadcast(codes[r].scale), join_digits<2>(sum[r][n][0], sum[r][n][1]), load(to)));
    }
  }
}

template <int Bits, class Tiles, class Acc>
struct PvCodes {
  const Tiles& p;
  int g;
  RaggedTile tile;
  const CodePanel* panels;
  const Acc& acc;

  template <int Rows>
  HEED_INLINE void run(int row) const {
    Array<WeightCodes, Rows> codes;
    for (int r = 0; r < Rows; ++r) codes[r] = pack_weight_codes(p, g, row + r, panels);
    Index d = 0;
    for (; d + 2 * vl<float> <= acc.columns; d += 2 * vl<float>) {
      pv_codes_block<Bits, Rows, 2>(p, g, row, panels, d, codes, acc);
    }
    if (d < acc.columns) pv_codes_block<Bits, Rows, 1>(p, g, row, panels, d, codes, acc);
  }
};

// o += p·v. The weights of live tiles are written over.
template <int Bits>
void pv_codes(const ScoreTiles<float>& p, const CodePanel* panels, const Accumulator<float>& acc) {
  constexpr ConstantShape<tile_shape<float>> shape;
  const auto weights = p.in(shape);
  const auto o = acc.in(shape);
  for (int g = 0; g < weights.m_tiles; ++g) {
    const int left = weights.rows - g * mr<float>;
    const RaggedTile rows{left < mr<float> ? left : mr<float>, 0, 0};
    run_rows(PvCodes<Bits, decltype(weights), decltype(o)>{weights, g, rows, panels, o});
  }
}

template <class R>
inline constexpr CodeKernels code_product_table = [] {
  CodeKernels table = code_table<R>;
  table.products_8 = {&pack_query_codes<2>, &qk_codes<8>, &pv_codes<8>};
  table.products_4 = {&pack_query_codes<1>, &qk_codes<4>, &pv_codes<4>};
  return table;
}();

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
