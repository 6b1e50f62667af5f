// Part of bf16_pairs.inl and of amx_tiles.inl: packs bfloat16 in pairs along K, and floats rounded
// to them.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

using Halves = Register<std::uint16_t, 2 * vl<float>>;

// Pairs of a row, without their splits.
constexpr Index pairs_of(const TileShape& shape, Index elements) {
  return shape.round_up_k(elements) / shape.k_pack;
}

// vl<float> pairs of one row, from element `from` on; beyond `count` elements they are 0.
template <class T>
HEED_INLINE Vec<float> pairs_of_row(const T* from, Index step, Index count) {
  constexpr int most = 2 * vl<float>;
  Array<T, most> some = {};
  const T* at = from;
  if (step != 1 || count < most) {
    for (Index n = 0; n < count && n < most; ++n) some[n] = from[n * step];
    at = some;
  }
  if constexpr (std::is_same_v<T, float>) {
    return round_pairs(load(at), load(at + vl<float>));
  } else {
    return (Vec<float>)*reinterpret_cast<const typename Halves::unaligned*>(at);
  }
}

// vl<float> elements of one row in the low halves.
template <class T>
HEED_INLINE Words low_halves(const T* from, Index step, Index count) {
  using Short = Register<std::uint16_t, vl<float>>;
  Array<T, vl<float>> some = {};
  const T* at = from;
  if (step != 1 || count < vl<float>) {
    for (Index n = 0; n < count && n < vl<float>; ++n) some[n] = from[n * step];
    at = some;
  }
  const auto halves = *reinterpret_cast<const typename Short::unaligned*>(at);
  return __builtin_convertvector(halves, Words);
}

// The halves of v in turns: the first, the first of the upper half, the second, ...
template <std::size_t... J>
HEED_INLINE Vec<float> interleave_halves(Vec<float> v, std::index_sequence<J...>) {
  using Short = typename Halves::type;
  constexpr int lanes = vl<float>;
#if defined(__clang__)
  return (Vec<float>)__builtin_shufflevector(
      (Short)v, (Short)v, (static_cast<int>(J) % 2 * lanes + static_cast<int>(J) / 2)...);
#else  // as in shuffle_xor
  const Short order = {static_cast<std::uint16_t>(J % 2 * lanes + J / 2)...};
  return (Vec<float>)__builtin_shuffle((Short)v, order);
#endif
}

// Pair n has element n of `low` and of `high`, rounded.
HEED_INLINE Vec<float> round_pairs_of(Vec<float> low, Vec<float> high) {
  return interleave_halves(round_pairs(low, high), std::make_index_sequence<2 * vl<float>>{});
}

// vl<float> pairs of two rows; beyond so many elements of each they are 0.
template <class T>
HEED_INLINE Vec<float> pairs_of_rows(const T* low, Index low_count, const T* high, Index high_count,
                                     Index step) {
  if constexpr (std::is_same_v<T, float>) {
    return round_pairs_of(load_some_as<float>(low, step, low_count),
                          load_some_as<float>(high, step, high_count));
  } else {
    return (Vec<float>)(low_halves(low, step, low_count) |
                        (low_halves(high, step, high_count) << 16));
  }
}

// Rows of x in pairs; the scale is for the sums. Beyond the last element pairs are 0.
template <class T, const TileShape& Shape>
bool pack_a_pairs(const View<const T, 2>& x, float /*scale*/, const PackedA<float>& a) {
  const Index D = x.extent[1];
  const auto rows = a.in(ConstantShape<Shape>{});
  HEED_ASSERT(a.k == D);
  const Index pairs = rows.stride();
  for (Index r = 0; r < x.extent[0]; ++r) {
    float* to = rows.row(r);
    const T* from = x.data + r * x.stride[0];
    Index p = 0;
    for (; p + vl<float> <= pairs; p += vl<float>) {
      store(to + p, pairs_of_row(from + 2 * p * x.stride[1], x.stride[1], D - 2 * p));
    }
    if (p == pairs) continue;
    const auto rest = pairs_of_row(from + 2 * p * x.stride[1], x.stride[1], D - 2 * p);
    for (Index n = 0; p + n < pairs; ++n) to[p + n] = rest[n];
  }
  return true;
}

// to(d, c) = the pair d of row c of x, 0 beyond the last row.
template <class T, const TileShape& Shape>
bool pack_b_transposed_pairs(const View<const T, 2>& x, const PackedB<float>& b) {
  constexpr int lanes = vl<float>;
  const Index D = x.extent[1];
  const auto to = b.in(ConstantShape<Shape>{});
  HEED_ASSERT(to.k == D && x.extent[0] <= to.columns);
  const auto keys = static_cast<int>(x.extent[0]);
  const Index pairs = pairs_of(Shape, D);
  const int packed = (keys + nr<float> - 1) / nr<float> * nr<float>;
  for (int first = 0; first < packed; first += lanes) {
    float* at = to.panel(first / nr<float>) + first % nr<float>;
    for (Index p = 0; p < pairs; p += lanes) {
      // Through memory: in registers a row's edges would be compiled for each of them.
      Array<float, lanes* lanes> rows = {};
      const T* from = x.data + first * x.stride[0] + 2 * p * x.stride[1];
      for (int c = 0; c < lanes && first + c < keys; ++c) {
        store(rows + c * lanes, pairs_of_row(from + c * x.stride[0], x.stride[1], D - 2 * p));
      }
      Array<Vec<float>, lanes> square;
#pragma GCC unroll 16
      for (int c = 0; c < lanes; ++c) square[c] = load(rows + c * lanes);
      transpose<float>(square);
#pragma GCC unroll 16
      for (int n = 0; n < lanes; ++n) {
        if (p + n < pairs) store(at + (p + n) * nr<float>, square[n]);
      }
    }
  }
  return true;
}

// to(c, d) = rows 2c and 2c + 1 of column d of x, 0 beyond the last of either. Returns whether all
// of them are finite.
template <class T, const TileShape& Shape>
bool pack_b_pairs(const View<const T, 2>& x, const PackedB<float>& b) {
  constexpr int lanes = vl<float>;
  const auto to = b.in(ConstantShape<Shape>{});
  HEED_ASSERT(x.extent[0] <= to.k && x.extent[1] <= to.columns);
  const Index keys = x.extent[0];
  Exponents<float> worst{};
  for (Index c = 0; c < 2 * pairs_of(Shape, keys); c += 2) {
    const T* even = c < keys ? x.data + c * x.stride[0] : x.data;
    const T* odd = c + 1 < keys ? even + x.stride[0] : even;
    for (Index p = 0; p * nr<float> < x.extent[1]; ++p) {
      float* row = to.panel(p) + c / 2 * to.width(p);
      for (Index n = 0; n < to.width(p); n += lanes) {
        const Index at = p * nr<float> + n;
        const Index left = x.extent[1] - at;
        const Vec<float> pairs =
            pairs_of_rows(even + at * x.stride[1], c < keys ? left : Index{0},
                          odd + at * x.stride[1], c + 1 < keys ? left : Index{0}, x.stride[1]);
        worst.add((Vec<float>)((Words)pairs << 16));
        worst.add(pairs);
        store(row + n, pairs);
      }
    }
  }
  return worst.finite();
}

// Values of both keys of each pair: the finite ones, those of the first and of the second key that
// are not; 0 elsewhere.
struct Sorted {
  Vec<float> finite, first, second;
};

HEED_INLINE Sorted sort_pairs(Vec<float> v) {
  const Words exponent = Words{} + 0x7f800000u;
  const Words first = (Words)v << 16;
  const Words second = (Words)v & 0xffff0000u;
  const auto first_is_finite = (first & exponent) != exponent;
  const auto second_is_finite = (second & exponent) != exponent;
  return {(Vec<float>)((first_is_finite ? first >> 16 : Words{}) |
                       (second_is_finite ? second : Words{})),
          (Vec<float>)(first_is_finite ? Words{} : first),
          (Vec<float>)(second_is_finite ? Words{} : second)};
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
