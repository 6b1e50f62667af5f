// Part of code_products.inl: the weights of a panel of keys, times the scales of their values,
// rounded to digits of 8 bits.
//
// A panel has a scale of its own, so that weights are lost beside larger ones of 32 keys alone: of
// one scale for a KV block of 512 keys, 511 weights of 1.4e-5 beside one of 1 took 0.7 % of out.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

// Digits of a weight beside values of 8 bits: two. Beside those of 4 bits one, and a second one in
// panels that would lose more than their share of `lost_weights`.
template <int Bits>
inline constexpr int weight_digits = Bits == 8 ? 2 : 1;

// The part of a row's weights, times the scales of their values, that rounding to one digit may
// take or add, each weight's error counted as positive: 2 %. Half of it is for a panel's own
// weights, half for those of the KV block up to it, a share for each of its panels.
inline constexpr float lost_weights = 0.02F;
inline constexpr int most_panels = 512 / nr<float>;  // of a KV block
// Sums of a panel's errors stand in the fraction of the sum of its offsets: 16 at most.
inline constexpr float loss_unit = 32;

// A row's weights for a panel, in the place of its scores [NR].
struct WeightCodes {
  // A weight is scale · (256 · high + low) beside 8-bit values. Beside 4-bit ones it is
  // scale · high + low_scale · low, and low digits are there where low_scale is not 0.
  struct Scales {
    float scale, low_scale;
    std::int32_t offset, low_offset;  // 4 bits: what codes are above theirs, times the digits
  };

  float* place;

  HEED_INLINE std::uint8_t* digits(int digit) const {
    return reinterpret_cast<std::uint8_t*>(place) + digit * nr<float>;
  }
  // Words of four digits.
  HEED_INLINE const std::uint32_t* words(int digit) const {
    return reinterpret_cast<const std::uint32_t*>(place) + digit * nr<float> / 4;
  }
  HEED_INLINE Scales scales() const {
    Scales found;
    __builtin_memcpy(&found, place + nr<float> / 2, sizeof found);
    return found;
  }
  HEED_INLINE void set(const Scales& to) const {
    __builtin_memcpy(place + nr<float> / 2, &to, sizeof to);
  }
};

template <int Rows>
using PanelWeights = Array<Array<Vec<float>, vectors<float>>, Rows>;

// w = p · |scale of the value|, of Rows rows.
template <int Rows>
HEED_INLINE void load_weights(const float* p, const float* v_scales, PanelWeights<Rows>& w) {
#pragma GCC unroll 16
  for (int c = 0; c < vectors<float>; ++c) {
    const Vec<float> scale = load(v_scales + c * vl<float>);
    const Vec<float> size = maximum(scale, -scale);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) w[r][c] = load(p + r * nr<float> + c * vl<float>) * size;
  }
}

// The largest weight of each row (joined_at).
template <int Rows>
HEED_INLINE Vec<float> largest_weights(const PanelWeights<Rows>& w) {
  Array<Vec<float>, Rows> most;
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    most[r] = w[r][0];
#pragma GCC unroll 16
    for (int c = 1; c < vectors<float>; ++c) most[r] = maximum(w[r][c], most[r]);
  }
  reduce_n<JoinByMax, float, Rows>(most);
  return most[0];
}

// The scale under which the largest number is `limit`, and its inverse; 0 where it is below 2^-110.
struct DigitScale {
  Vec<float> scale, per_scale;
};
HEED_INLINE DigitScale digit_scale(Vec<float> most, float limit) {
  const CodeWords some = most > 0x1p-110F;
  return {(Vec<float>)(some & (CodeWords)(most * (1 / limit))),
          (Vec<float>)(some & (CodeWords)(broadcast(limit) / most))};
}

// x from 0 to 2^16 rounded to a whole number: the low bits of a word.
inline constexpr float whole_bits = 0x1p23F;
HEED_INLINE CodeWords rounded_word(Vec<float> x) { return opaque((CodeWords)(x + whole_bits)); }
HEED_INLINE Vec<float> whole_number(CodeWords word) { return (Vec<float>)word - whole_bits; }

// The low digits of a row: what is left of x [NR] beside its high ones.
HEED_INLINE void pack_low_digits(const WeightCodes& row, const Vec<float>* x, const float* v_scales,
                                 WeightCodes::Scales& scales) {
  Vec<float> above{};
#pragma GCC unroll 16
  for (int c = 0; c < vectors<float>; ++c) {
    const Vec<float> left = x[c] - whole_number(rounded_word(x[c]));
    const CodeWords low = rounded_word(minimum(left * 256.0F, broadcast(127.0F)) + 128.0F);
    store_bytes(low - 128, row.digits(1) + c * vl<float>);
    above = fma(whole_number(low) - 128.0F, code_offset(load(v_scales + c * vl<float>)), above);
  }
  scales.low_scale = scales.scale * 0x1p-8F;
  scales.low_offset = __builtin_convertvector(reduce_add<float>(above), CodeWords)[0];
}

// A panel's weights p [Rows, NR] become digits. NaN makes some of them: the softmax's sum makes its
// row NaN.
//   seen  of each row (joined_at): the weights of the KV block so far, times 8; 4 bits
template <int Bits, int Rows>
HEED_INLINE void pack_weight_codes(float* p, const float* v_scales, Vec<float>& seen) {
  constexpr int registers = vectors<float>;
  PanelWeights<Rows> x;
  load_weights<Rows>(p, v_scales, x);
  Array<Vec<float>, Rows> sums;
  Array<Vec<float>, registers> above;
#pragma GCC unroll 16
  for (int c = 0; Bits == 4 && c < registers; ++c) {
    above[c] = code_offset(load(v_scales + c * vl<float>));
  }
  const DigitScale of = digit_scale(largest_weights<Rows>(x), Bits == 8 ? 65535 : 255);
  Array<float, vl<float>> scale, per_scale, losses;
  Array<std::int32_t, vl<float>> offsets;
  store(scale, of.scale);
  store(per_scale, of.per_scale);
#pragma GCC unroll 16
  for (int n = 0; n < Rows * registers; ++n) {
    const int r = n / registers, c = n % registers;
    const WeightCodes row{p + r * nr<float>};
    x[r][c] *= broadcast(per_scale[joined_at<float, Rows>(r)]);
    const CodeWords word = rounded_word(x[r][c]);
    if constexpr (Bits == 8) {
      store_bytes(word >> 8, row.digits(0) + c * vl<float>);
      store_bytes(word, row.digits(1) + c * vl<float>);
    } else {
      store_bytes(word, row.digits(0) + c * vl<float>);
      const Vec<float> high = whole_number(word), left = x[r][c] - high;
      const Vec<float> loss = (Vec<float>)((CodeWords)left & 0x7fffffff);
      sums[r] = c == 0 ? high * above[c] : fma(high, above[c], sums[r]);
      sums[r] = fma(loss, broadcast(1 / loss_unit), sums[r]);
    }
  }
  if constexpr (Bits == 4) {
    reduce_n<JoinBySum, float, Rows>(sums);
    sums[0] = maximum(sums[0], Vec<float>{});  // NaN becomes 0
    const CodeWords offset = __builtin_convertvector(sums[0], CodeWords);
    const Vec<float> all = __builtin_convertvector(offset, Vec<float>);
    seen = fma(all, of.scale, seen);
    const Vec<float> may =
        all * (lost_weights / 16) + seen * of.per_scale * (lost_weights / 16 / most_panels);
    store(losses, (sums[0] - all) * loss_unit - may);
    *reinterpret_cast<Register<std::int32_t, vl<float>>::unaligned*>(offsets + 0) = offset;
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    const int at = joined_at<float, Rows>(r);
    const WeightCodes row{p + r * nr<float>};
    WeightCodes::Scales scales{scale[at], 0, 0, 0};
    if constexpr (Bits == 4) {
      scales.offset = offsets[at];
      if (losses[at] > 0) pack_low_digits(row, x[r], v_scales, scales);
    }
    row.set(scales);
  }
}

// The weights of a row tile for all live panels.
template <int Bits>
struct PackWeights {
  const ScoreTiles<float, ConstantShape<tile_shape<float>>>& p;
  const CodePanel* panels;
  RaggedTile tile;
  int g;

  template <int Rows>
  HEED_INLINE void run(int row) const {
    Vec<float> seen{};
    for (int panel = 0; panel < p.panels; ++panel) {
      if (!p.live(g, panel)) continue;
      pack_weight_codes<Bits, Rows>(p.tile(g, panel) + row * nr<float>, panels[panel].v_scales,
                                    seen);
    }
  }
};

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
