// Part of code_products.inl: p·v of weights in digits and values in codes. Sums over the keys of a
// panel are exact integers; those of panels are added in float, in their order.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

// Words of values as bytes: signed ones of 8 bits, of 4 bits above their least.
template <int Bits>
HEED_INLINE CodeWords value_bytes(CodeWords word, int part) {
  if constexpr (Bits == 8) return word;
  return word >> (4 * part) & 0x0f0f0f0f;
}

// Keys of the KV block behind this one, which p·v fetches into L2 as it goes: q·k fetches the
// values of its own block. Zen 4, one query, 8192 keys of 8 heads, D 128: 1.34 to 1.08 ms of a call
// in K8V8, beside q·k that fetches both.
struct KeysAhead {
  static constexpr int line = 64;
  const char* next = nullptr;
  Index lines = 0;  // each time

  HEED_INLINE void fetch() {
#pragma GCC unroll 1
    for (Index n = 0; n < lines; ++n, next += line) __builtin_prefetch(next, 0, 2);
  }
};

// The keys as far behind panel `panel` as the block's `count` panels go, if those follow each
// other.
//   times  that some are fetched
HEED_INLINE KeysAhead keys_ahead(const CodePanel* panels, int count, int panel, Index times) {
  const auto place = [&](int n) { return reinterpret_cast<std::intptr_t>(panels[n].k); };
  const std::intptr_t bytes = count < 2 ? 0 : place(1) - place(0);
  if (bytes <= 0 || place(count - 1) - place(0) != bytes * (count - 1)) return {};
  return {reinterpret_cast<const char*>(panels[panel].k) + bytes * count,
          (bytes / KeysAhead::line + times - 1) / times};
}

// o += p·v of Rows rows, a panel and N registers of columns.
//   p  [Rows, NR] digits
//   v  [NR / in_word, columns]
template <int Bits, int Rows, int N, class Acc>
HEED_INLINE void pv_codes_columns(float* p,  // NOLINT(readability-non-const-parameter)
                                  const std::uint32_t* v, Index columns, int g, int row, Index d,
                                  const Acc& acc, KeysAhead& ahead) {
  constexpr int in_word = 32 / Bits, parts = in_word / 4, digits = weight_digits<Bits>;
  Array<Array<Array<CodeWords, digits>, N>, Rows> sum;
#pragma GCC unroll 16
  for (int n = 0; n < Rows * N; ++n) {
    Array<CodeWords, digits>& of = sum[n / N][n % N];
    of[0] = CodeWords{};
    of[digits - 1] = CodeWords{};
    if (Bits == 4) of[0] -= WeightCodes{p + n / N * nr<float>}.scales().offset;
  }
#pragma GCC unroll 8
  for (int w = 0; w < nr<float> / in_word; ++w, v += columns) {
    ahead.fetch();
    Array<Array<CodeWords, parts>, N> value;
#pragma GCC unroll 16
    for (int n = 0; n < N * parts; ++n) {
      value[n / parts][n % parts] =
          value_bytes<Bits>(load_words(v + n / parts * vl<float>), n % parts);
    }
#pragma GCC unroll 64
    for (int n = 0; n < Rows * parts * digits; ++n) {
      const int r = n / (parts * digits), part = n / digits % parts, digit = n % digits;
      const WeightCodes weights{p + r * nr<float>};
      const CodeWords weight = broadcast_word(weights.words(digit)[w * parts + part]);
#pragma GCC unroll 16
      for (int c = 0; c < N; ++c) {
        sum[r][c][digit] = add_bytes(sum[r][c][digit], weight, value[c][part]);
      }
    }
  }
  const Index width = acc.width(d / nr<float>);
  float* rows = acc.tile(g, d / nr<float>) + row * width + d % nr<float>;
#pragma GCC unroll 16
  for (int n = 0; n < Rows * N; ++n) {
    const int r = n / N, c = n % N;
    const CodeWords all = digits == 2 ? (sum[r][c][0] << 8) + sum[r][c][digits - 1] : sum[r][c][0];
    const float scale = WeightCodes{p + r * nr<float>}.scales().scale;
    float* to = rows + r * width + c * vl<float>;
    store(to, fma(broadcast(scale), __builtin_convertvector(all, Vec<float>), load(to)));
  }
}

// o += p·v of a row's low digits, beside values of 4 bits.
template <class Acc>
HEED_INLINE void pv_low_digits(const WeightCodes& row, const std::uint32_t* v, int g, int r,
                               const Acc& acc) {
  const WeightCodes::Scales scales = row.scales();
  if (scales.low_scale == 0) return;
  for (Index d = 0; d < acc.columns; d += vl<float>) {
    CodeWords sum = CodeWords{} - scales.low_offset;
#pragma GCC unroll 8
    for (int n = 0; n < nr<float> / 4; ++n) {
      const CodeWords value = value_bytes<4>(load_words(v + n / 2 * acc.columns + d), n % 2);
      sum = add_bytes(sum, value, broadcast_word(row.words(1)[n]));
    }
    float* to = &acc.tile_at(g, r, d);
    store(to, fma(broadcast(scales.low_scale), __builtin_convertvector(sum, Vec<float>), load(to)));
  }
}

template <int Bits, class Acc>
struct PvCodes {
  float* p;  // [tile.rows, NR], packed
  const CodePanel& panel;
  RaggedTile tile;
  int g;
  const Acc& acc;
  KeysAhead ahead;

  template <int Rows>
  HEED_INLINE void run(int row) const {
    float* weights = p + row * nr<float>;
    KeysAhead keys = row == 0 ? ahead : KeysAhead{};
    constexpr int step = vl<float>;
    Index d = 0;
    for (; d + 2 * step <= acc.columns; d += 2 * step) {
      pv_codes_columns<Bits, Rows, 2>(weights, panel.v + d, acc.columns, g, row, d, acc, keys);
    }
    if (d < acc.columns) {
      pv_codes_columns<Bits, Rows, 1>(weights, panel.v + d, acc.columns, g, row, d, acc, keys);
    }
    for (int r = 0; Bits == 4 && r < Rows; ++r) {
      pv_low_digits(WeightCodes{weights + r * nr<float>}, panel.v, g, row + r, acc);
    }
  }
};

// o += p·v. The weights of live tiles are written over.
template <int Bits>
void pv_codes(const ScoreTiles<float>& p, const CodePanel* panels, const Accumulator<float>& acc) {
  if (acc.columns == 0) return;
  constexpr ConstantShape<tile_shape<float>> shape;
  const auto weights = p.in(shape);
  const auto o = acc.in(shape);
  const Index times = (acc.columns + 2 * vl<float> - 1) / (2 * vl<float>)*nr<float> * Bits / 32;
  for (int g = 0; g < weights.m_tiles; ++g) {
    const int left = weights.rows - g * mr<float>;
    run_rows(PackWeights<Bits>{weights, panels, {left < mr<float> ? left : mr<float>, 0, 0}, g});
  }
  for_each_ragged_tile(
      weights, [&](int g, int panel, const RaggedTile& here) __attribute__((always_inline)) {
        const KeysAhead ahead =
            g > 0 ? KeysAhead{} : keys_ahead(panels, weights.panels, panel, times);
        run_rows(
            PvCodes<Bits, decltype(o)>{weights.tile(g, panel), panels[panel], here, g, o, ahead});
      });
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
