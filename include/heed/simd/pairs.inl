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

using Halves = Register<std::uint16_t, 2 * width<float>>;
using Words = Register<std::uint32_t, width<float>>;

// width<float> pairs of one row, from element `from` on; beyond `count` elements they are 0.
template <class T>
HEED_INLINE Vec<float> pairs_of_row(const T* from, Index step, Index count) {
  constexpr int most = 2 * width<float>;
  if (step == 1 && count >= most) {
    return (Vec<float>)*reinterpret_cast<const typename Halves::unaligned*>(from);
  }
  Array<T, most> some = {};
  for (Index n = 0; n < count && n < most; ++n) some[n] = from[n * step];
  return (Vec<float>)*reinterpret_cast<const typename Halves::unaligned*>(some);
}

// width<float> elements of one row in the low halves.
template <class T>
HEED_INLINE typename Words::type low_halves(const T* from, Index step, Index count) {
  using Short = Register<std::uint16_t, width<float>>;
  Array<T, width<float>> some = {};
  const T* at = from;
  if (step != 1 || count < width<float>) {
    for (Index n = 0; n < count && n < width<float>; ++n) some[n] = from[n * step];
    at = some;
  }
  const auto halves = *reinterpret_cast<const typename Short::unaligned*>(at);
  return __builtin_convertvector(halves, typename Words::type);
}

// to[r] = x(r, ·) in pairs, `count` rows; the scale is for the sums.
template <class T>
void load_row_pairs(const View<const T, 2>& x, int count, float /*scale*/, float* to) {
  const Index D = x.extent[1];
  const Index pairs = (D + 1) / 2;
  for (int r = 0; r < count; ++r, to += pairs) {
    const T* from = x.data + r * x.stride[0];
    Index p = 0;
    for (; p + width<float> <= pairs; p += width<float>) {
      store(to + p, pairs_of_row(from + 2 * p * x.stride[1], x.stride[1], D - 2 * p));
    }
    if (p == pairs) continue;
    const auto rest = pairs_of_row(from + 2 * p * x.stride[1], x.stride[1], D - 2 * p);
    for (Index n = 0; p + n < pairs; ++n) to[p + n] = rest[n];
  }
}

// to[p][d][c] = the pair d of x(p · panel + c, ·), 0 beyond the last key.
template <class T>
void pack_key_pairs(const View<const T, 2>& x, int keys, float* to) {
  constexpr int lanes = width<float>;
  const Index D = x.extent[1];
  const Index pairs = (D + 1) / 2;
  const int packed = (keys + panel<float> - 1) / panel<float> * panel<float>;
  for (int first = 0; first < packed; first += lanes) {
    float* at = to + (first / panel<float>)*pairs * panel<float> + first % panel<float>;
    for (Index p = 0; p < pairs; p += lanes) {
      Array<Vec<float>, lanes> square = {};
      const T* from = x.data + 2 * p * x.stride[1];
#pragma GCC unroll 16
      for (int c = 0; c < lanes; ++c) {
        if (first + c < keys) {
          square[c] = pairs_of_row(from + (first + c) * x.stride[0], x.stride[1], D - 2 * p);
        }
      }
      transpose<float>(square);
#pragma GCC unroll 16
      for (int n = 0; n < lanes; ++n) {
        if (p + n < pairs) store(at + (p + n) * panel<float>, square[n]);
      }
    }
  }
}

// to[p][c][d] = keys 2c and 2c + 1 of column p · panel + d, 0 beyond the last of either.
// Returns whether all of them are finite.
template <class T>
bool pack_value_pairs(const View<const T, 2>& x, int keys, Index capacity, float* to) {
  constexpr int lanes = width<float>;
  Exponents<float> worst{};
  for (int c = 0; c < keys; c += 2) {
    const T* even = x.data + c * x.stride[0];
    const T* odd = c + 1 < keys ? even + x.stride[0] : even;
    for (Index d = 0; d < x.extent[1]; d += panel<float>) {
      const Index left = x.extent[1] - d;
      const Index registers = left >= panel<float> ? vectors<float> : (left + lanes - 1) / lanes;
      float* row = to + d * (capacity / 2) + c / 2 * registers * lanes;
      for (Index n = 0; n < registers; ++n) {
        const Index at = d + n * lanes;
        const auto low = low_halves(even + at * x.stride[1], x.stride[1], x.extent[1] - at);
        const auto high = low_halves(odd + at * x.stride[1], x.stride[1],
                                     c + 1 < keys ? x.extent[1] - at : Index{0});
        worst.add((Vec<float>)(low << 16));
        worst.add((Vec<float>)(high << 16));
        store(row + n * lanes, (Vec<float>)(low | (high << 16)));
      }
    }
  }
  return worst.finite();
}

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

// Values of both keys of each pair: the finite ones, those of the first and of the second key that
// are not; 0 elsewhere.
struct Sorted {
  Vec<float> finite, first, second;
};

HEED_INLINE Sorted sort_pairs(Vec<float> v) {
  using Bits = typename Words::type;
  const Bits exponent = Bits{} + 0x7f800000u;
  const Bits first = (Bits)v << 16;
  const Bits second = (Bits)v & 0xffff0000u;
  const auto first_is_finite = (first & exponent) != exponent;
  const auto second_is_finite = (second & exponent) != exponent;
  return {
      (Vec<float>)((first_is_finite ? first >> 16 : Bits{}) | (second_is_finite ? second : Bits{})),
      (Vec<float>)(first_is_finite ? Bits{} : first),
      (Vec<float>)(second_is_finite ? Bits{} : second)};
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
inline constexpr Kernels<T> paired_table{
    paired_geometry,       &load_row_pairs<T>,     &pack_key_pairs<T>,
    &pack_value_pairs<T>,  &all_finite<T>,         &dot_pairs,
    &dots_direct<T>,       &softmax<float>,        &accumulate_pairs,
    &accumulate_direct<T>, &accumulate_seen_pairs, &close_rows<float>,
    &store_rows<T>};
