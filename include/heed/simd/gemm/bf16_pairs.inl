// The kernels of machines that multiply pairs of bfloat16: included after kernels.inl, where the
// includer also provides
//
//   add_pairs(a, b, c)     c + a₀·b₀ + a₁·b₁ in float, for the two bfloat16 in each lane of a and b
//   round_pairs(low, high) 2 · vl<float> numbers rounded to bfloat16, low first
//
// A number of packed rows, keys, weights and values then is a pair: neighbours along the dimension
// that is summed over, of D for q·kᵀ and of the keys for weights·v; an odd one's partner is 0. Half
// the numbers, half the multiplications. Sums, scores and the softmax are float as elsewhere.

struct Paired {
  static constexpr int k_pack = 2;
  float scale = 1;  // of sums when they are done: q itself would be rounded once more

  HEED_INLINE Vec<float> add(Vec<float> a, Vec<float> b, Vec<float> sum) const {
    return add_pairs(a, b, sum);
  }
  HEED_INLINE Vec<float> finish(Vec<float> sum) const { return sum * broadcast(scale); }
};

inline constexpr TileShape bf16_tile_shape{mr<float>, nr<float>, vl<float>, Paired::k_pack};

#include "heed/simd/gemm/pack_bf16_pairs.inl"

inline void qk_pairs(const TileArgs<float>& args) { qk_tiles(args, Paired{args.scale}); }

// The weights of every live tile as pairs, in the first half of each row of it.
HEED_INLINE void pack_weights_as_pairs(const TileArgs<float>& args) {
  static_assert(vectors<float> % 2 == 0);
  constexpr int lanes = vl<float>;
  float* row = args.scores;
  for (Index at = 0; at < Index{args.m_tiles} * args.panels; ++at) {
    for (int r = 0; r < mr<float>; ++r, row += nr<float>) {
      if (args.coverage[at] == 0) continue;
#pragma GCC unroll 16
      for (int n = 0; n < vectors<float>; n += 2) {
        store(row + n / 2 * lanes, round_pairs(load(row + n * lanes), load(row + (n + 1) * lanes)));
      }
    }
  }
}

// accumulate with weights rounded to bfloat16; the query sub-block's scores are pairs afterwards.
inline void pv_pairs(const TileArgs<float>& args) {
  pack_weights_as_pairs(args);
  pv_tiles(args, Paired{});
}

// acc[r] += weight of one key · v for the rows that see it.
//   weights, unmasked  of the tile's first row
//   shift          brings the key's half of its pair to the top
HEED_INLINE void add_unmasked_key(const float* weights, int shift, const std::uint8_t* unmasked,
                                  Vec<float> v, float* acc) {
  for (int r = 0; r < mr<float>; ++r, acc += vl<float>) {
    if (unmasked[r * nr<float>] == 0) continue;
    const auto pair = __builtin_bit_cast(std::uint32_t, weights[r * nr<float>]);
    const auto weight = __builtin_bit_cast(float, (pair << shift) & 0xffff0000u);
    store(acc, fma(broadcast(weight), v, load(acc)));
  }
}

// acc += weights · v of one tile and one register of columns: finite values as everywhere, the
// others for those rows alone that see them.
//   v    [pairs of keys, stride]
//   acc  [rows, stride]
HEED_INLINE void pv_masked_column(const float* p, const float* v, int keys,
                                  const std::uint8_t* unmasked, Index stride, float* acc) {
  constexpr int lanes = vl<float>;
  Array<float, nr<float> / 2 * lanes> finite;
  Array<float, mr<float> * lanes> sum;
  for (int r = 0; r < mr<float>; ++r) store(sum + r * lanes, load(acc + r * stride));
  for (int c = 0; 2 * c < keys; ++c) {
    const Sorted sorted = sort_pairs(load(v + c * stride));
    store(finite + c * lanes, sorted.finite);
    add_unmasked_key(p + c, 16, unmasked + 2 * c, sorted.first, sum);
    add_unmasked_key(p + c, 0, unmasked + 2 * c + 1, sorted.second, sum);
  }
  pv_tile<1>(p, finite, (keys + 1) / 2, sum, Paired{});
  for (int r = 0; r < mr<float>; ++r) store(acc + r * stride, load(sum + r * lanes));
}

// pv_pairs where some values are NaN or infinite: a row that does not see them has the bits
// that it has without them.
//   unmasked  as scores; nonzero where the row sees the key
inline void pv_masked_pairs(const TileArgs<float>& args, const std::uint8_t* unmasked) {
  constexpr int tile_size = mr<float> * nr<float>;
  pack_weights_as_pairs(args);
  for (Index at = 0; at < Index{args.m_tiles} * args.panels; ++at) {
    if (args.coverage[at] == 0) continue;
    const Index first = at % args.panels * nr<float>;
    const Index left = args.keys - first;
    const auto keys = static_cast<int>(left < nr<float> ? left : nr<float>);
    for (Index d = 0; d < args.columns; d += vl<float>) {
      const Index begin = d / nr<float> * nr<float>;
      const Index columns = args.columns - begin;
      const Index stride = columns < nr<float> ? columns : nr<float>;
      const Index m_tile = at / args.panels;
      pv_masked_column(args.scores + at * tile_size,
                       args.v + begin * (args.capacity / 2) + first / 2 * stride + d - begin, keys,
                       unmasked + at * tile_size, stride,
                       args.acc + (m_tile * args.columns + begin) * mr<float> + d - begin);
    }
  }
}

template <class T>
inline constexpr Kernels<T> bf16_pairs_table{bf16_tile_shape,
                                             &pack_a_pairs<T, 1>,
                                             &pack_b_transposed_pairs<T, 1>,
                                             &pack_b_pairs<T, 1>,
                                             nullptr,
                                             &qk_pairs,
                                             nullptr,
                                             nullptr,
                                             &softmax<float>,
                                             &pv_pairs,
                                             nullptr,
                                             &pv_masked_pairs,
                                             &finalize_rows<float>,
                                             &store_rows<T>};
