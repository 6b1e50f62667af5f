// Part of amx_tiles.inl: p·v.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE amx
#include "heed/simd/target/alone.inl"
#endif

// Keys of a step that are a pair of weights and values.
template <int Parts>
constexpr int key_of(int pair, int which) {
  return Parts == 1 ? 2 * pair + which : pair + which * step_pairs;
}

// The weights of one tile as steps of the sums: to[part][row][pair].
template <int Parts>
HEED_INLINE void split_weights(const float* weights, float* to) {
  constexpr int tile = mr<float> * step_pairs;
  for (int r = 0; r < mr<float>; ++r, weights += nr<float>, to += step_pairs) {
    Vec<float> first = load(weights);
    Vec<float> second = load(weights + vl<float>);
    if constexpr (Parts == 1) {
      store(to, round_pairs(first, second));
    } else {
#pragma GCC unroll 3
      for (int part = 0; part < Parts; ++part) {
        const Words top_first = (Words)first & 0xffff0000u;
        const Words top_second = (Words)second & 0xffff0000u;
        store(to + part * tile, (Vec<float>)((top_first >> 16) | top_second));
        first -= (Vec<float>)top_first;
        second -= (Vec<float>)top_second;
      }
    }
  }
}

// Numbers of a tile's weights as split.
template <int Parts>
inline constexpr Index split_size = Index{Parts} * mr<float>* step_pairs;

// The live weights of some row tiles and `count` panels from panel `first` on, as split:
// [row tiles, panels_per_pass].
template <int Parts, class Shape>
HEED_INLINE void split_m_tiles(const ScoreTiles<float, Shape>& p, int m_tile, int m_tiles,
                               int first, int count) {
  for (int g = 0; g < m_tiles; ++g) {
    float* to = p.packed_p + g * panels_per_pass<Parts> * split_size<Parts>;
    for (int n = 0; n < count; ++n, to += split_size<Parts>) {
      if (p.live(m_tile + g, first + n)) split_weights<Parts>(p.tile(m_tile + g, first + n), to);
    }
  }
}

// acc += weights · v of Groups row tiles, `count` panels of keys from panel `begin` on, and N
// registers of columns.
template <int Groups, int N, int Parts, class Shape>
HEED_INLINE void pv_amx_tiles(const ScoreTiles<float, Shape>& p, int m_tile, int begin, int count,
                              const float* v, Index v_part, float* const* acc) {
  constexpr Index stride = N * vl<float>;
  const AmxOperand p_side{step_pairs, mr<float> * step_pairs};
  const AmxOperand v_side{stride, v_part};
  move_sums<Groups, N, true>(acc, stride);
  for (int n = 0; n < count; ++n, v += step_pairs * stride) {
    const float* const weights[] = {p.packed_p + n * split_size<Parts>,
                                    p.packed_p + (panels_per_pass<Parts> + n) * split_size<Parts>};
    const bool first = p.live(m_tile, begin + n);
    const bool second = Groups == 2 && p.live(m_tile + Groups - 1, begin + n);
    if constexpr (Groups == 2) {
      if (first && second) multiply_step<0, 2, N, Parts>(weights, p_side, v, v_side);
      if (!first && second) multiply_step<1, 1, N, Parts>(weights, p_side, v, v_side);
    }
    if (first && !second) multiply_step<0, 1, N, Parts>(weights, p_side, v, v_side);
  }
  move_sums<Groups, N, false>(acc, stride);
}

template <int Groups, int Parts, class Shape>
HEED_INLINE void pv_amx_m_tiles(const ScoreTiles<float, Shape>& p,
                                const PackedB<const float, Shape>& v,
                                const Accumulator<float, Shape>& o, int m_tile, int first,
                                int count) {
  for (Index n = 0; n < v.panels(); ++n) {
    const float* from = v.panel(n) + Index{first} * step_pairs * v.width(n);
    Array<float*, Groups> acc;
    for (int g = 0; g < Groups; ++g) acc[g] = o.tile(m_tile + g, n);
    if (v.width(n) == nr<float>) {
      pv_amx_tiles<Groups, 2, Parts>(p, m_tile, first, count, from, v.split_stride(n), acc);
    } else {
      pv_amx_tiles<Groups, 1, Parts>(p, m_tile, first, count, from, v.split_stride(n), acc);
    }
  }
}

// acc += weights · v, two row tiles at a time.
template <int Parts>
void pv_amx(const ScoreTiles<float>& scores, const PackedB<const float>& values,
            const Accumulator<float>& acc) {
  constexpr ConstantShape<amx_tile_shape<Parts>> shape;
  HEED_ASSERT(scores.packed_p != nullptr && scores.columns <= values.k);
  const auto p = scores.in(shape);
  const auto v = values.in(shape);
  const auto o = acc.in(shape);
  const Tiles in_use;
  for (int first = 0; first < p.panels; first += panels_per_pass<Parts>) {
    const int left = p.panels - first;
    const int count = left < panels_per_pass<Parts> ? left : panels_per_pass<Parts>;
    for (int m_tile = 0; m_tile < p.m_tiles; m_tile += 2) {
      const int m_tiles = m_tile + 1 < p.m_tiles ? 2 : 1;
      split_m_tiles<Parts>(p, m_tile, m_tiles, first, count);
      if (m_tiles == 2) {
        pv_amx_m_tiles<2, Parts>(p, v, o, m_tile, first, count);
      } else {
        pv_amx_m_tiles<1, Parts>(p, v, o, m_tile, first, count);
      }
    }
  }
}

// acc += weights · v of one tile and one register of columns, where values may be NaN or infinite.
//   v, unmasked  of the tile; rows of v and of acc are `stride` apart
//   part         from a split of v to the next
//   packed       the weights as split
template <int Parts>
HEED_INLINE void pv_masked_amx_column(const float* v, Index stride, Index part,
                                      const float* weights, const float* packed,
                                      const std::uint8_t* unmasked, float* acc) {
  constexpr Index lanes = vl<float>, size = step_pairs * lanes;
  Array<float, Parts * size> finite;
  for (int pair = 0; pair < step_pairs; ++pair) {
    const float* from = v + pair * stride;
    float* to = finite + pair * lanes;
    store(to, sort_pairs(load(from)).finite);
    // A number that is not finite is its own first split; the others are 0.
    for (int p = 1; p < Parts; ++p) store(to + p * size, load(from + p * part));
  }
  const float* const split[] = {packed};
  float* const sums[] = {acc};
  move_sums<1, 1, true>(sums, stride);
  multiply_step<0, 1, 1, Parts>(split, {step_pairs, mr<float> * step_pairs}, finite, {lanes, size});
  move_sums<1, 1, false>(sums, stride);
  for (int pair = 0; pair < step_pairs; ++pair) {
    const Sorted sorted = sort_pairs(load(v + pair * stride));
    for (int r = 0; r < mr<float>; ++r) {
      float* to = acc + r * stride;
      const int first = r * nr<float> + key_of<Parts>(pair, 0);
      const int second = r * nr<float> + key_of<Parts>(pair, 1);
      if (unmasked[first] != 0) store(to, fma(broadcast(weights[first]), sorted.first, load(to)));
      if (unmasked[second] != 0)
        store(to, fma(broadcast(weights[second]), sorted.second, load(to)));
    }
  }
}

// pv_amx where some values are NaN or infinite: a row that does not see them has the bits
// that it has without them.
//   unmasked  as scores; nonzero where the row sees the key
template <int Parts>
void pv_masked_amx(const ScoreTiles<float>& scores, const PackedB<const float>& values,
                   const std::uint8_t* unmasked, const Accumulator<float>& acc) {
  constexpr ConstantShape<amx_tile_shape<Parts>> shape;
  const auto p = scores.in(shape);
  const auto v = values.in(shape);
  const auto o = acc.in(shape);
  const Tiles in_use;
  for (Index at = 0; at < p.tiles(); ++at) {
    if (p.coverage[at] == 0) continue;
    const Index g = at / p.panels, panel = at % p.panels;
    split_weights<Parts>(p.tile(g, panel), p.packed_p);
    for (Index n = 0; n < v.panels(); ++n) {
      const Index stride = v.width(n);
      for (Index d = 0; d < stride; d += vl<float>) {
        pv_masked_amx_column<Parts>(v.panel(n) + panel * step_pairs * stride + d, stride,
                                    v.split_stride(n), p.tile(g, panel), p.packed_p,
                                    unmasked + at * p.tile_size(), o.tile(g, n) + d);
      }
    }
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
