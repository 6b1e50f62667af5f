// The kernels of machines that multiply pairs of bfloat16: included after kernels.inl, where the
// includer also provides
//
//   add_pairs(a, b, c)     c + a₀·b₀ + a₁·b₁ in float, for the two bfloat16 in each lane of a and b
//   round_pairs(low, high) 2 · width<float> numbers rounded to bfloat16, low first
//
// A number of packed rows, keys, weights and values then is a pair: neighbours along the dimension
// that is summed over, of D for q·kᵀ and of the keys for weights·v; an odd one's partner is 0. Half
// the numbers, half the multiplications. Sums, scores and the softmax are float as elsewhere.

struct Paired {
  static constexpr int depth = 2;
  float scale = 1;  // of sums when they are done: q itself would be rounded once more

  HEED_INLINE Vec<float> add(Vec<float> a, Vec<float> b, Vec<float> sum) const {
    return add_pairs(a, b, sum);
  }
  HEED_INLINE Vec<float> finish(Vec<float> sum) const { return sum * all(scale); }
};

inline constexpr Geometry paired_geometry{rows<float>, panel<float>, width<float>, Paired::depth};

#include "heed/simd/pair_packing.inl"

inline void dot_pairs(const Strip<float>& strip) { dots_strip(strip, Paired{strip.scale}); }

// The weights of every live cell as pairs, in the first half of each row of it.
HEED_INLINE void pair_weights(const Strip<float>& strip) {
  static_assert(vectors<float> % 2 == 0);
  constexpr int lanes = width<float>;
  float* row = strip.scores;
  for (Index at = 0; at < Index{strip.groups} * strip.panels; ++at) {
    for (int r = 0; r < rows<float>; ++r, row += panel<float>) {
      if (strip.live[at] == 0) continue;
#pragma GCC unroll 16
      for (int n = 0; n < vectors<float>; n += 2) {
        store(row + n / 2 * lanes, round_pairs(load(row + n * lanes), load(row + (n + 1) * lanes)));
      }
    }
  }
}

// accumulate with weights rounded to bfloat16; the strip's scores are pairs afterwards.
inline void accumulate_pairs(const Strip<float>& strip) {
  pair_weights(strip);
  accumulate_strip(strip, Paired{});
}

// acc[r] += weight of one key · v for the rows that see it.
//   weights, seen  of the cell's first row
//   shift          brings the key's half of its pair to the top
HEED_INLINE void add_seen_key(const float* weights, int shift, const std::uint8_t* seen,
                              Vec<float> v, float* acc) {
  for (int r = 0; r < rows<float>; ++r, acc += width<float>) {
    if (seen[r * panel<float>] == 0) continue;
    const auto pair = __builtin_bit_cast(std::uint32_t, weights[r * panel<float>]);
    const auto weight = __builtin_bit_cast(float, (pair << shift) & 0xffff0000u);
    store(acc, fma(all(weight), v, load(acc)));
  }
}

// acc += weights · v of one cell and one register of columns: finite values as everywhere, the
// others for those rows alone that see them.
//   v    [pairs of keys, stride]
//   acc  [rows, stride]
HEED_INLINE void accumulate_seen_column(const float* p, const float* v, int keys,
                                        const std::uint8_t* seen, Index stride, float* acc) {
  constexpr int lanes = width<float>;
  Array<float, panel<float> / 2 * lanes> finite;
  Array<float, rows<float> * lanes> sum;
  for (int r = 0; r < rows<float>; ++r) store(sum + r * lanes, load(acc + r * stride));
  for (int c = 0; 2 * c < keys; ++c) {
    const Sorted sorted = sort_pairs(load(v + c * stride));
    store(finite + c * lanes, sorted.finite);
    add_seen_key(p + c, 16, seen + 2 * c, sorted.first, sum);
    add_seen_key(p + c, 0, seen + 2 * c + 1, sorted.second, sum);
  }
  accumulate_cell<1>(p, finite, (keys + 1) / 2, sum, Paired{});
  for (int r = 0; r < rows<float>; ++r) store(acc + r * stride, load(sum + r * lanes));
}

// accumulate_pairs where some values are NaN or infinite: a row that does not see them has the bits
// that it has without them.
//   seen  as scores; nonzero where the row sees the key
inline void accumulate_seen_pairs(const Strip<float>& strip, const std::uint8_t* seen) {
  constexpr int cell = rows<float> * panel<float>;
  pair_weights(strip);
  for (Index at = 0; at < Index{strip.groups} * strip.panels; ++at) {
    if (strip.live[at] == 0) continue;
    const Index first = at % strip.panels * panel<float>;
    const Index left = strip.keys - first;
    const auto keys = static_cast<int>(left < panel<float> ? left : panel<float>);
    for (Index d = 0; d < strip.columns; d += width<float>) {
      const Index begin = d / panel<float> * panel<float>;
      const Index columns = strip.columns - begin;
      const Index stride = columns < panel<float> ? columns : panel<float>;
      const Index group = at / strip.panels;
      accumulate_seen_column(
          strip.scores + at * cell,
          strip.v + begin * (strip.capacity / 2) + first / 2 * stride + d - begin, keys,
          seen + at * cell, stride,
          strip.acc + (group * strip.columns + begin) * rows<float> + d - begin);
    }
  }
}

template <class T>
inline constexpr Kernels<T> paired_table{paired_geometry,
                                         &load_row_pairs<T, 1>,
                                         &pack_key_pairs<T, 1>,
                                         &pack_value_pairs<T, 1>,
                                         nullptr,
                                         &dot_pairs,
                                         nullptr,
                                         nullptr,
                                         &softmax<float>,
                                         &accumulate_pairs,
                                         nullptr,
                                         &accumulate_seen_pairs,
                                         &close_rows<float>,
                                         &store_rows<T>};
