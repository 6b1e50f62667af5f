// Part of amx_tiles.inl: packs floats as three bfloat16 splits.
//
// The numbers of a step of the sums, 32 of them, stand as two registers; a pair is a lane of both,
// so that parts are packed without moving one.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE amx
#include "heed/simd/target/alone.inl"
#endif

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

// to(r, ·) = scale·x(r, ·), [split, pair]. Returns whether all of them are finite: what is not has
// no second and third part, and 0·inf is NaN.
template <class T>
bool pack_a_bf16x3(const View<const T, 2>& x, float scale, const PackedA<float>& a) {
  const Index D = x.extent[1];
  const auto rows = a.in(ConstantShape<amx_tile_shape<float_splits>>{});
  HEED_ASSERT(a.k == D);
  const Index pairs = pairs_of(amx_tile_shape<float_splits>, D);
  bool finite = true;
  for (Index r = 0; r < x.extent[0]; ++r) {
    float* to = rows.row(r);
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

// to(·, c) = the pairs of row c of x, [split, pair, NR], 0 beyond the last row of a register,
// nothing in those that hold no row. Returns whether all of them are finite.
template <class T>
bool pack_b_transposed_bf16x3(const View<const T, 2>& x, const PackedB<float>& b) {
  constexpr int lanes = vl<float>;
  const auto to = b.in(ConstantShape<amx_tile_shape<float_splits>>{});
  HEED_ASSERT(to.k == x.extent[1] && x.extent[0] <= to.columns);
  const Index D = x.extent[1], keys = x.extent[0];
  bool finite = true;
  View<const T, 2> rest = x;
  for (Index first = 0; first < keys; first += lanes, rest.data += lanes * x.stride[0]) {
    const Index panel = first / nr<float>, part = to.split_stride(panel);
    float* at = to.panel(panel) + first % nr<float>;
    for (Index d = 0; d < D; d += step_size, at += step_pairs * nr<float>) {
      finite &= pack_b_transposed_square(rest, keys - first, d, part, at);
    }
  }
  return finite;
}

// to(c, d) = the rows of pair c and column d of x, [split, pair, width], 0 beyond the last of
// either, up to a whole step of rows. Returns whether all of them are finite.
template <class T>
bool pack_b_bf16x3(const View<const T, 2>& x, const PackedB<float>& b) {
  constexpr int lanes = vl<float>;
  const auto to = b.in(ConstantShape<amx_tile_shape<float_splits>>{});
  HEED_ASSERT(x.extent[0] <= to.k && x.extent[1] <= to.columns);
  const Index keys = x.extent[0];
  bool finite = true;
  for (Index c = 0; c < pairs_of(amx_tile_shape<float_splits>, keys); ++c) {
    const Index key = c / step_pairs * step_size + c % step_pairs;
    for (Index p = 0; p * nr<float> < x.extent[1]; ++p) {
      const Index stride = to.width(p), part = to.split_stride(p);
      for (Index n = 0; n < stride; n += lanes) {
        const Index d = p * nr<float> + n;
        Array<Vec<float>, 2> v = {};
        const T* from = x.data + d * x.stride[1];
        for (int which = 0; which < 2; ++which) {
          const Index at = key + which * lanes;
          if (at >= keys) break;
          v[which] = load_some_as<float>(from + at * x.stride[0], x.stride[1], x.extent[1] - d);
        }
        finite &= store_splits(v[0], v[1], part, to.panel(p) + c * stride + n);
      }
    }
  }
  return finite;
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
