// Part of amx_tiles.inl: packs floats as three bfloat16 splits.
//
// The numbers of a step of the sums, 32 of them, stand as two registers; a pair is a lane of both,
// so that parts are packed without moving one.

inline constexpr int float_splits = 3;
inline constexpr int step_size = 2 * vl<float>;

// The upper 8 bits of the significand, rounded.
HEED_INLINE Vec<float> upper(Vec<float> x) {
  return (Vec<float>)(((Words)x + 0x8000u) & 0xffff0000u);
}

// NaN, infinity, and what rounding would make infinite: the first part is x cut off, and what is
// not finite has no others.
HEED_INLINE void split_special(Vec<float> x, Array<Vec<float>, float_splits>& to) {
  const Words magnitude = (Words)x & 0x7fffffffu;
  const Words quiet = magnitude > 0x7f800000u ? Words{} + 0x00400000u : Words{};
  const Words cut = ((Words)x & 0xffff0000u) | quiet;
  to[0] = (Vec<float>)(magnitude >= 0x7f7f8000u ? cut : (Words)upper(x));
  const Words left = (Words)(x - to[0]);
  x = (Vec<float>)(magnitude >= 0x7f800000u ? Words{} : left);
  to[1] = upper(x);
  to[2] = x - to[1];
}

// x as a sum of three numbers of 8 bits.
HEED_INLINE void split(Vec<float> x, Array<Vec<float>, float_splits>& to) {
  to[0] = upper(x);
  x = x - to[0];
  to[1] = upper(x);
  to[2] = x - to[1];
}

// The parts of a step, `part` numbers apart. Returns whether all of it is finite.
HEED_INLINE bool store_splits(Vec<float> first, Vec<float> second, Index part, float* to) {
  Array<Vec<float>, float_splits> low;
  Array<Vec<float>, float_splits> high;
  const Words of_first = (Words)first & 0x7fffffffu;
  const Words of_second = (Words)second & 0x7fffffffu;
  const Words magnitude = of_first > of_second ? of_first : of_second;
  const bool special = any_at_least(magnitude, 0x7f7f8000u);
  if (special) {
    split_special(first, low);
    split_special(second, high);
  } else {
    split(first, low);
    split(second, high);
  }
#pragma GCC unroll 3
  for (int n = 0; n < float_splits; ++n, to += part) {
    store(to, (Vec<float>)(((Words)low[n] >> 16) | ((Words)high[n] & 0xffff0000u)));
  }
  return !special || !any_at_least(magnitude, 0x7f800000u);
}

// Of `count` elements of a row, the rest 0.
template <class T>
HEED_INLINE bool store_row_splits(const T* from, Index stride, Index count, float scale, Index part,
                                  float* to) {
  constexpr int lanes = vl<float>;
  const Vec<float> low = scale * load_some_as<float>(from, stride, count);
  Vec<float> high{};
  if (count > lanes)
    high = scale * load_some_as<float>(from + lanes * stride, stride, count - lanes);
  return store_splits(low, high, part, to);
}

// to[r][part][pair] = scale·x(r, ·), `count` rows. Returns whether all of them are finite: what is
// not has no second and third part, and 0·inf is NaN.
template <class T>
bool pack_a_bf16x3(const View<const T, 2>& x, int count, float scale, float* to) {
  const Index D = x.extent[1];
  const Index pairs = whole_pairs<step_pairs>(D);
  bool finite = true;
  for (int r = 0; r < count; ++r, to += float_splits * pairs) {
    const T* from = x.data + r * x.stride[0];
    for (Index d = 0; d < D; d += step_size) {
      finite &=
          store_row_splits(from + d * x.stride[1], x.stride[1], D - d, scale, pairs, to + d / 2);
    }
  }
  return finite;
}

// One step of 16 keys, `count` of them real; `part` numbers apart, turned, rows of `to` a panel
// apart.
template <class T>
HEED_INLINE bool pack_b_transposed_square(const View<const T, 2>& x, Index count, Index d,
                                          Index part, float* to) {
  constexpr int lanes = vl<float>;
  constexpr int size = lanes * lanes;
  Array<float, float_splits * size> rows_of;
  bool finite = true;
  for (int c = 0; c < lanes; ++c) {
    const Index real = c < count ? x.extent[1] - d : 0;
    const T* from = c < count ? x.data + c * x.stride[0] + d * x.stride[1] : x.data;
    finite &= store_row_splits(from, x.stride[1], real, 1, size, rows_of + c * lanes);
  }
  for (int n = 0; n < float_splits; ++n) {
    Array<Vec<float>, lanes> square;
#pragma GCC unroll 16
    for (int c = 0; c < lanes; ++c) square[c] = load(rows_of + n * size + c * lanes);
    transpose<float>(square);
#pragma GCC unroll 16
    for (int c = 0; c < lanes; ++c) store(to + n * part + c * nr<float>, square[c]);
  }
  return finite;
}

// to[p][part][pair][c] = the pairs of x(p · panel + c, ·), 0 beyond the last key of a register,
// nothing in those that hold no key. Returns whether all of them are finite.
template <class T>
bool pack_b_transposed_bf16x3(const View<const T, 2>& x, int keys, float* to) {
  constexpr int lanes = vl<float>;
  const Index D = x.extent[1];
  const Index part = whole_pairs<step_pairs>(D) * nr<float>;
  bool finite = true;
  View<const T, 2> rest = x;
  for (int first = 0; first < keys; first += lanes, rest.data += lanes * x.stride[0]) {
    float* at = to + (first / nr<float>)*float_splits * part + first % nr<float>;
    for (Index d = 0; d < D; d += step_size, at += step_pairs * nr<float>) {
      finite &= pack_b_transposed_square(rest, keys - first, d, part, at);
    }
  }
  return finite;
}

// to[p][part][c][d] = the keys of pair c and column p · panel + d, 0 beyond the last of either, up
// to a whole step of keys. Returns whether all of them are finite.
template <class T>
bool pack_b_bf16x3(const View<const T, 2>& x, int keys, Index capacity, float* to) {
  constexpr int lanes = vl<float>;
  bool finite = true;
  for (Index c = 0; c < whole_pairs<step_pairs>(keys); ++c) {
    const Index key = c / step_pairs * step_size + c % step_pairs;
    for (Index d = 0; d < x.extent[1]; d += nr<float>) {
      const Index left = x.extent[1] - d;
      const Index registers = left >= nr<float> ? vectors<float> : (left + lanes - 1) / lanes;
      const Index stride = registers * lanes;
      const Index part = capacity / 2 * stride;
      for (Index n = 0; n < stride; n += lanes) {
        Array<Vec<float>, 2> v = {};
        const T* from = x.data + (d + n) * x.stride[1];
        for (int which = 0; which < 2; ++which) {
          const Index at = key + which * lanes;
          if (at >= keys) break;
          v[which] = load_some_as<float>(from + at * x.stride[0], x.stride[1], left - n);
        }
        finite &=
            store_splits(v[0], v[1], part, to + d * float_splits * (capacity / 2) + c * stride + n);
      }
    }
  }
  return finite;
}
