// The kernels of machines that multiply pairs of bfloat16: included after kernels.inl, where the
// includer also provides
//
//   add_pairs(a, b, c)     c + a₀·b₀ + a₁·b₁ in float, for the two bfloat16 in each lane of a and b
//   round_pairs(low, high) 2 · vl<float> numbers rounded to bfloat16, low first
//
// A number of packed rows, keys, weights and values then is a pair: neighbours along the dimension
// that is summed over, of D for q·kᵀ and of the keys for weights·v; an odd one's partner is 0. Half
// the numbers, half the multiplications. Sums, scores and the softmax are float as elsewhere.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

struct Paired {
  static constexpr int k_pack = 2;

  HEED_INLINE Vec<float> add(Vec<float> a, Vec<float> b, Vec<float> sum) const {
    return add_pairs(a, b, sum);
  }
  HEED_INLINE Vec<float> finish(Vec<float> sum) const { return sum; }
};

// Scales sums when they are done: q itself would be rounded once more.
struct ScaledPaired : Paired {
  float scale;

  HEED_INLINE explicit ScaledPaired(float by) : scale(by) {}
  HEED_INLINE Vec<float> finish(Vec<float> sum) const { return sum * broadcast(scale); }
};

inline constexpr TileShape bf16_tile_shape = tile_shape<float, Paired::k_pack>;

#include "heed/simd/gemm/pack_bf16_pairs.inl"

// The weights of every live tile as pairs, in the first half of each row of it.
template <class Shape>
HEED_INLINE void pack_weights_as_pairs(const ScoreTiles<float, Shape>& p) {
  static_assert(vectors<float> % 2 == 0);
  constexpr int lanes = vl<float>;
  float* row = p.data;
  for (Index at = 0; at < p.tiles(); ++at) {
    for (int r = 0; r < mr<float>; ++r, row += nr<float>) {
      if (p.coverage[at] == 0) continue;
#pragma GCC unroll 16
      for (int n = 0; n < vectors<float>; n += 2) {
        store(row + n / 2 * lanes, round_pairs(load(row + n * lanes), load(row + (n + 1) * lanes)));
      }
    }
  }
}

// pv with weights rounded to bfloat16; the scores are pairs afterwards.
template <class R>
void pv_pairs(const ScoreTiles<R>& p, const PackedB<const R>& v, const Accumulator<R>& acc) {
  pack_weights_as_pairs(p.in(ConstantShape<bf16_tile_shape>{}));
  pv<R, Paired>(p, v, acc);
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
  micro_kernel<mr<float>, 1>(TilesOfA<float, 2>{p}, Index{(keys + 1) / 2}, finite, Index{lanes},
                             sum, Index{lanes}, true, Paired{});
  for (int r = 0; r < mr<float>; ++r) store(acc + r * stride, load(sum + r * lanes));
}

// pv_pairs where some values are NaN or infinite: a row that does not see them has the bits
// that it has without them.
//   unmasked  as scores; nonzero where the row sees the key
template <class R>
void pv_masked_pairs(const ScoreTiles<R>& scores, const PackedB<const R>& values,
                     const std::uint8_t* unmasked, const Accumulator<R>& acc) {
  constexpr ConstantShape<bf16_tile_shape> shape;
  const auto p = scores.in(shape);
  const auto v = values.in(shape);
  const auto o = acc.in(shape);
  pack_weights_as_pairs(p);
  for (Index at = 0; at < p.tiles(); ++at) {
    if (p.coverage[at] == 0) continue;
    const Index g = at / p.panels, panel = at % p.panels;
    const Index first = panel * nr<float>, left = p.columns - first;
    const auto keys = static_cast<int>(left < nr<float> ? left : nr<float>);
    for (Index n = 0; n < v.panels(); ++n) {
      const Index stride = v.width(n);
      for (Index d = 0; d < stride; d += vl<float>) {
        pv_masked_column(p.tile(g, panel), v.panel(n) + first / 2 * stride + d, keys,
                         unmasked + at * p.tile_size(), stride, o.tile(g, n) + d);
      }
    }
  }
}

#include "heed/simd/gemm/bf16_pairs_gradient.inl"
#include "heed/simd/layer/bf16_pairs_layers.inl"

template <class T>
inline constexpr PackedKernels<T> bf16_pairs_table{
    .isa = target_isa,
    .tile_shape = bf16_tile_shape,
    .folds_scale = false,
    .gemm = {.qk = &qk<float, ScaledPaired>,
             .pv = &pv_pairs<float>,
             .pv_masked = &pv_masked_pairs<float>},
    .pack_a = &pack_a_pairs<T, bf16_tile_shape>,
    .pack_b_transposed = &pack_b_transposed_pairs<T, bf16_tile_shape>,
    .pack_b = &pack_b_pairs<T, bf16_tile_shape>,
    .softmax = &softmax<float>,
    .finalize_rows = &finalize_rows<float>,
    .store_rows = &store_rows<T>,
    .store_unrounded = &store_rows<float>,
    .drop = &drop<float>};

template <class T>
inline constexpr GradientKernels<T> bf16_pairs_gradient_table{
    .sums = transposed_shape<float>,
    .pv = &pv_balanced_pairs<float>,
    .pv_masked = &pv_masked_balanced_pairs<float>,
    .pv_transposed = &pv_transposed_pairs<float>,
    .pv_transposed_masked = &pv_transposed_masked_pairs<float>,
    .probabilities = &probabilities<float>,
    .score_gradient = &score_gradient<float>,
    .add_row_dots = &add_row_dots<float>,
    .find_unmasked = &find_unmasked<float>,
    .store_rows = &store_rows<T>};

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
