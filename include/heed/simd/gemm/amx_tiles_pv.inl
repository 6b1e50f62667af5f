// Part of amx_tiles.inl: p·v.

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

// Panels of keys whose weights are split together.
template <int Parts>
inline constexpr int panels_per_pass = Parts == 1 ? 8 : 4;
static_assert(2 * panels_per_pass<3> * 3 * mr<float> * step_pairs == packed_p_per_pass);

// The live weights of Groups row tiles and `count` panels from panel `first` on, as split:
// [Groups, panels_per_pass].
template <int Groups, int Parts>
HEED_INLINE void split_m_tiles(const TileArgs<float>& args, int m_tile, int first, int count) {
  constexpr Index tiles = Parts * mr<float> * step_pairs;
  for (int g = 0; g < Groups; ++g) {
    const Index begin = Index{m_tile + g} * args.panels + first;
    float* to = args.weights + g * panels_per_pass<Parts> * tiles;
    for (int p = 0; p < count; ++p, to += tiles) {
      if (args.coverage[begin + p] == 0) continue;
      split_weights<Parts>(args.scores + (begin + p) * mr<float> * nr<float>, to);
    }
  }
}

// acc += weights · v of Groups row tiles, `count` panels and N registers of columns.
//   live  of the first of the panels, in the first of the row tiles
template <int Groups, int N, int Parts>
HEED_INLINE void pv_amx_tiles(const TileArgs<float>& args, const std::uint8_t* coverage, int count,
                              const float* v, float* const* acc) {
  constexpr Index tiles = Parts * mr<float> * step_pairs;
  constexpr Index stride = N * vl<float>;
  const AmxOperand p_side{step_pairs, mr<float> * step_pairs};
  const AmxOperand v_side{stride, args.capacity / 2 * stride};
  const std::uint8_t* other = coverage + (Groups - 1) * args.panels;
  move_sums<Groups, N, true>(acc, stride);
  for (int p = 0; p < count; ++p, v += step_pairs * stride) {
    const float* const weights[] = {args.weights + p * tiles,
                                    args.weights + (panels_per_pass<Parts> + p) * tiles};
    const bool first = coverage[p] != 0;
    const bool second = Groups == 2 && other[p] != 0;
    if constexpr (Groups == 2) {
      if (first && second) multiply_step<0, 2, N, Parts>(weights, p_side, v, v_side);
      if (!first && second) multiply_step<1, 1, N, Parts>(weights, p_side, v, v_side);
    }
    if (first && !second) multiply_step<0, 1, N, Parts>(weights, p_side, v, v_side);
  }
  move_sums<Groups, N, false>(acc, stride);
}

template <int Groups, int Parts>
HEED_INLINE void pv_amx_m_tiles(const TileArgs<float>& args, int m_tile, int first) {
  const int left = args.panels - first;
  const int count = left < panels_per_pass<Parts> ? left : panels_per_pass<Parts>;
  const std::uint8_t* coverage = args.coverage + Index{m_tile} * args.panels + first;
  split_m_tiles<Groups, Parts>(args, m_tile, first, count);
  for (Index d = 0; d < args.columns; d += nr<float>) {
    const bool whole = args.columns - d >= nr<float>;
    const float* v = args.v + d * Parts * (args.capacity / 2) +
                     Index{first} * step_pairs * (whole ? nr<float> : vl<float>);
    Array<float*, Groups> acc;
    for (int n = 0; n < Groups; ++n) {
      acc[n] = args.acc + ((m_tile + n) * args.columns + d) * mr<float>;
    }
    if (whole) {
      pv_amx_tiles<Groups, 2, Parts>(args, coverage, count, v, acc);
    } else {
      pv_amx_tiles<Groups, 1, Parts>(args, coverage, count, v, acc);
    }
  }
}

// acc += weights · v, two row tiles at a time.
template <int Parts>
void pv_amx(const TileArgs<float>& args) {
  const Tiles in_use;
  for (int first = 0; first < args.panels; first += panels_per_pass<Parts>) {
    int m_tile = 0;
    for (; m_tile + 2 <= args.m_tiles; m_tile += 2) {
      pv_amx_m_tiles<2, Parts>(args, m_tile, first);
    }
    if (m_tile < args.m_tiles) pv_amx_m_tiles<1, Parts>(args, m_tile, first);
  }
}

// acc += weights · v of one tile, where values may be NaN or infinite; weights as split.
//   v, unmasked  of the tile
template <int N, int Parts>
void pv_masked_amx_tile(const TileArgs<float>& args, const float* v, const float* weights,
                        const std::uint8_t* unmasked, float* acc) {
  constexpr Index stride = N * vl<float>;
  constexpr Index size = step_pairs * stride;
  const Index part = args.capacity / 2 * stride;
  Array<float, Parts * size> finite;
  for (Index n = 0; n < size; n += vl<float>) {
    store(finite + n, sort_pairs(load(v + n)).finite);
    // A number that is not finite is its own first split; the others are 0.
    for (int p = 1; p < Parts; ++p) store(finite + p * size + n, load(v + p * part + n));
  }
  const float* const split[] = {args.weights};
  float* const sums[] = {acc};
  move_sums<1, N, true>(sums, stride);
  multiply_step<0, 1, N, Parts>(split, {step_pairs, mr<float> * step_pairs}, finite,
                                {stride, size});
  move_sums<1, N, false>(sums, stride);
  for (Index n = 0; n < size; n += vl<float>) {
    const Sorted sorted = sort_pairs(load(v + n));
    const auto pair = static_cast<int>(n / stride);
    for (int r = 0; r < mr<float>; ++r) {
      float* to = acc + r * stride + n % stride;
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
void pv_masked_amx(const TileArgs<float>& args, const std::uint8_t* unmasked) {
  constexpr int tile_size = mr<float> * nr<float>;
  const Tiles in_use;
  for (Index at = 0; at < Index{args.m_tiles} * args.panels; ++at) {
    if (args.coverage[at] == 0) continue;
    const float* weights = args.scores + at * tile_size;
    split_weights<Parts>(weights, args.weights);
    for (Index d = 0; d < args.columns; d += nr<float>) {
      const bool whole = args.columns - d >= nr<float>;
      const Index stride = whole ? nr<float> : vl<float>;
      const float* v =
          args.v + d * Parts * (args.capacity / 2) + at % args.panels * step_pairs * stride;
      float* acc = args.acc + (at / args.panels * args.columns + d) * mr<float>;
      const auto add = whole ? &pv_masked_amx_tile<2, Parts> : &pv_masked_amx_tile<1, Parts>;
      add(args, v, weights, unmasked + at * tile_size, acc);
    }
  }
}
