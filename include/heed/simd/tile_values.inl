// Part of tiles.inl: weights · v.

// Keys of a step that are a pair of weights and values.
template <int Parts>
constexpr int key_of(int pair, int which) {
  return Parts == 1 ? 2 * pair + which : pair + which * step_pairs;
}

// The weights of one cell as steps of the sums: to[part][row][pair].
template <int Parts>
HEED_INLINE void split_weights(const float* weights, float* to) {
  constexpr int tile = rows<float> * step_pairs;
  for (int r = 0; r < rows<float>; ++r, weights += panel<float>, to += step_pairs) {
    Vec<float> first = load(weights);
    Vec<float> second = load(weights + width<float>);
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
inline constexpr int panels_at_once = Parts == 1 ? 8 : 4;
static_assert(2 * panels_at_once<3> * 3 * rows<float> * step_pairs == weights_at_once);

// The live weights of Groups groups and `count` panels from panel `first` on, as split:
// [Groups, panels_at_once].
template <int Groups, int Parts>
HEED_INLINE void split_groups(const Strip<float>& strip, int group, int first, int count) {
  constexpr Index tiles = Parts * rows<float> * step_pairs;
  for (int g = 0; g < Groups; ++g) {
    const Index begin = Index{group + g} * strip.panels + first;
    float* to = strip.weights + g * panels_at_once<Parts> * tiles;
    for (int p = 0; p < count; ++p, to += tiles) {
      if (strip.live[begin + p] == 0) continue;
      split_weights<Parts>(strip.scores + (begin + p) * rows<float> * panel<float>, to);
    }
  }
}

// acc += weights · v of Groups groups, `count` panels and N registers of columns.
//   live  of the first of the panels, in the first of the groups
template <int Groups, int N, int Parts>
HEED_INLINE void accumulate_tiles_of(const Strip<float>& strip, const std::uint8_t* live, int count,
                                     const float* v, float* const* acc) {
  constexpr Index tiles = Parts * rows<float> * step_pairs;
  constexpr Index stride = N * width<float>;
  const TileSide p_side{step_pairs, rows<float> * step_pairs};
  const TileSide v_side{stride, strip.capacity / 2 * stride};
  const std::uint8_t* other = live + (Groups - 1) * strip.panels;
  move_sums<Groups, N, true>(acc, stride);
  for (int p = 0; p < count; ++p, v += step_pairs * stride) {
    const float* const weights[] = {strip.weights + p * tiles,
                                    strip.weights + (panels_at_once<Parts> + p) * tiles};
    const bool first = live[p] != 0;
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
HEED_INLINE void accumulate_tile_groups(const Strip<float>& strip, int group, int first) {
  const int left = strip.panels - first;
  const int count = left < panels_at_once<Parts> ? left : panels_at_once<Parts>;
  const std::uint8_t* live = strip.live + Index{group} * strip.panels + first;
  split_groups<Groups, Parts>(strip, group, first, count);
  for (Index d = 0; d < strip.columns; d += panel<float>) {
    const bool whole = strip.columns - d >= panel<float>;
    const float* v = strip.v + d * Parts * (strip.capacity / 2) +
                     Index{first} * step_pairs * (whole ? panel<float> : width<float>);
    Array<float*, Groups> acc;
    for (int n = 0; n < Groups; ++n) {
      acc[n] = strip.acc + ((group + n) * strip.columns + d) * rows<float>;
    }
    if (whole) {
      accumulate_tiles_of<Groups, 2, Parts>(strip, live, count, v, acc);
    } else {
      accumulate_tiles_of<Groups, 1, Parts>(strip, live, count, v, acc);
    }
  }
}

// acc += weights · v, two groups at a time.
template <int Parts>
void accumulate_tiles(const Strip<float>& strip) {
  const Tiles in_use;
  for (int first = 0; first < strip.panels; first += panels_at_once<Parts>) {
    int group = 0;
    for (; group + 2 <= strip.groups; group += 2) {
      accumulate_tile_groups<2, Parts>(strip, group, first);
    }
    if (group < strip.groups) accumulate_tile_groups<1, Parts>(strip, group, first);
  }
}

// acc += weights · v of one cell, where values may be NaN or infinite; weights as split.
//   v, seen  of the cell
template <int N, int Parts>
void accumulate_seen_tile(const Strip<float>& strip, const float* v, const float* weights,
                          const std::uint8_t* seen, float* acc) {
  constexpr Index stride = N * width<float>;
  constexpr Index size = step_pairs * stride;
  const Index part = strip.capacity / 2 * stride;
  Array<float, Parts * size> finite;
  for (Index n = 0; n < size; n += width<float>) {
    store(finite + n, sort_pairs(load(v + n)).finite);
    // What is not finite is its own first part, the others are 0.
    for (int p = 1; p < Parts; ++p) store(finite + p * size + n, load(v + p * part + n));
  }
  const float* const split[] = {strip.weights};
  float* const sums[] = {acc};
  move_sums<1, N, true>(sums, stride);
  multiply_step<0, 1, N, Parts>(split, {step_pairs, rows<float> * step_pairs}, finite,
                                {stride, size});
  move_sums<1, N, false>(sums, stride);
  for (Index n = 0; n < size; n += width<float>) {
    const Sorted sorted = sort_pairs(load(v + n));
    const auto pair = static_cast<int>(n / stride);
    for (int r = 0; r < rows<float>; ++r) {
      float* to = acc + r * stride + n % stride;
      const int first = r * panel<float> + key_of<Parts>(pair, 0);
      const int second = r * panel<float> + key_of<Parts>(pair, 1);
      if (seen[first] != 0) store(to, fma(all(weights[first]), sorted.first, load(to)));
      if (seen[second] != 0) store(to, fma(all(weights[second]), sorted.second, load(to)));
    }
  }
}

// accumulate_tiles where some values are NaN or infinite: a row that does not see them has the bits
// that it has without them.
//   seen  as scores; nonzero where the row sees the key
template <int Parts>
void accumulate_seen_tiles(const Strip<float>& strip, const std::uint8_t* seen) {
  constexpr int cell = rows<float> * panel<float>;
  const Tiles in_use;
  for (Index at = 0; at < Index{strip.groups} * strip.panels; ++at) {
    if (strip.live[at] == 0) continue;
    const float* weights = strip.scores + at * cell;
    split_weights<Parts>(weights, strip.weights);
    for (Index d = 0; d < strip.columns; d += panel<float>) {
      const bool whole = strip.columns - d >= panel<float>;
      const Index stride = whole ? panel<float> : width<float>;
      const float* v =
          strip.v + d * Parts * (strip.capacity / 2) + at % strip.panels * step_pairs * stride;
      float* acc = strip.acc + (at / strip.panels * strip.columns + d) * rows<float>;
      const auto add = whole ? &accumulate_seen_tile<2, Parts> : &accumulate_seen_tile<1, Parts>;
      add(strip, v, weights, seen + at * cell, acc);
    }
  }
}
