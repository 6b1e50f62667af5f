// Part of bf16_pairs.inl: layers of floats that are rounded to bfloat16 and multiplied in pairs
// along the summed dimension.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

// pack_weight in pairs; an odd element's partner is 0.
template <class T>
void pack_weight_pairs(const View<const T, 2>& w, const PackedB<float>& b) {
  if (w.stride[0] != 1 || w.extent[0] != nr<float>) {
    pack_b_transposed_pairs<T, bf16_tile_shape>(w, b);
    return;
  }
  HEED_ASSERT(b.k == w.extent[1] && b.width(0) == nr<float>);
  const T* from = w.data;
  float* to = b.data;
  for (Index d = 0; d < w.extent[1]; d += 2, from += 2 * w.stride[1]) {
    const bool two = d + 1 < w.extent[1];
    const T* next = two ? from + w.stride[1] : from;
    for (Index n = 0; n < nr<float>; n += vl<float>, to += vl<float>) {
      store(to, pairs_of_rows(from + n, vl<float>, next + n, two ? vl<float> : Index{0}, 1));
    }
  }
}

// pack_rows in pairs; an odd element's partner is 0.
template <class T>
void pack_rows_pairs(const View<const T, 2>& x, Index at, const BlockedA<float>& to) {
  HEED_ASSERT(at + x.extent[0] <= to.rows && x.extent[1] == to.k);
  const Index words = packed_words<Paired>(to.k);
  for (Index begin = 0; begin < words; begin += depth_block<float>) {
    const Index left = words - begin;
    const Index length = left < depth_block<float> ? left : depth_block<float>;
    float* row = to.block(begin) + at * length;
    for (Index r = 0; r < x.extent[0]; ++r, row += length) {
      const T* from = x.data + r * x.stride[0];
      for (Index w = 0; w < length; w += vl<float>) {
        const Index d = 2 * (begin + w);
        const Vec<float> pairs = pairs_of_row(from + d * x.stride[1], x.stride[1], to.k - d);
        if (w + vl<float> <= length) {
          store(row + w, pairs);
        } else {
          for (Index n = 0; w + n < length; ++n) row[w + n] = pairs[n];
        }
      }
    }
  }
}

// Up to vl<float> columns of x in pairs of its rows; the last one's partner may be 0.
//   tile  of the first mr columns; the next lies `stride` on
template <class T>
HEED_INLINE void pack_column_pairs(const View<const T, 2>& x, float* tile, Index stride) {
  static_assert(vl<float> % mr<float> == 0);
  const T* even = x.data;
  for (Index k = 0; k < x.extent[0]; k += 2, even += 2 * x.stride[0], tile += mr<float>) {
    const bool two = k + 1 < x.extent[0];
    const T* odd = two ? even + x.stride[0] : even;
    Array<float, vl<float>> pairs;
    store(pairs, pairs_of_rows(even, x.extent[1], odd, two ? x.extent[1] : Index{0}, x.stride[1]));
    for (Index r = 0; r < vl<float> && r < x.extent[1]; r += mr<float>) {
      __builtin_memcpy(tile + r / mr<float> * stride, pairs + r, sizeof(float) * mr<float>);
    }
  }
}

// pack_columns in pairs of rows of x, eight pairs at a time as there.
template <class T>
void pack_columns_pairs(const View<const T, 2>& x, const BlockedA<float>& to) {
  HEED_ASSERT(x.extent[0] == to.k && x.extent[1] <= to.rows && to.rows % mr<float> == 0);
  const Index words = packed_words<Paired>(to.k);
  for (Index begin = 0; begin < words; begin += depth_block<float>) {
    const Index left = words - begin,
                length = left < depth_block<float> ? left : depth_block<float>;
    for (Index w = 0; w < length; w += 8) {
      const Index k = 2 * (begin + w), some = length - w < 8 ? length - w : 8;
      const Index rows = to.k - k < 2 * some ? to.k - k : 2 * some;
      float* tile = to.block(begin) + w * mr<float>;
      for (Index c = 0; c < x.extent[1]; c += vl<float>, tile += vl<float> * length) {
        pack_column_pairs<T>({x.data + k * x.stride[0] + c * x.stride[1],
                              {rows, x.extent[1] - c},
                              {x.stride[0], x.stride[1]}},
                             tile, mr<float> * length);
      }
    }
  }
}

// The rest of `others`, which need no pairs.
template <class T>
constexpr LayerKernels<T> bf16_pairs_layers(const LayerKernels<T>& others) {
  LayerKernels<T> paired = others;
  paired.tile_shape = bf16_tile_shape;
  paired.pack_weight = &pack_weight_pairs<T>;
  paired.pack_rows = &pack_rows_pairs<T>;
  paired.multiply = &multiply<float, Paired>;
  paired.pack_columns = &pack_columns_pairs<T>;
  paired.multiply_columns = &multiply_columns<float, Paired>;
  return paired;
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
