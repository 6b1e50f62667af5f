// Part of kernels.inl: the two products of attention, q·kᵀ and weights·v.

// The multiply-add of a tile: a lane holds one element, or the pair that bf16_pairs.inl multiplies
// at once.
template <class R>
struct Single {
  static constexpr int k_pack = 1;  // elements of a lane

  HEED_INLINE Vec<R> add(Vec<R> a, Vec<R> b, Vec<R> sum) const { return fma(a, b, sum); }
  HEED_INLINE Vec<R> finish(Vec<R> sum) const { return sum; }
};

// s[r][c] = Σ_d q[r][d]·kt[d][c], one tile or only Rows rows and N registers of it. With `more`,
// what s holds comes first in the sum.
template <class R, int Rows = mr<R>, int N = vectors<R>, class Step = Single<R>>
HEED_INLINE void qk_tile(const R* __restrict q, Index D, const R* __restrict kt, R* __restrict s,
                         bool more = false, const Step& step = {}) {
  Array<Array<Vec<R>, N>, Rows> acc = {};
  if (more) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) acc[r][n] = load(s + r * nr<R> + n * vl<R>);
    }
  }
#pragma GCC unroll 4
  for (Index d = 0; d < D; ++d, kt += nr<R>) {
    Array<Vec<R>, N> b;
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) b[n] = load(kt + n * vl<R>);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec<R> a = broadcast(q[r * D + d]);
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) acc[r][n] = step.add(a, b[n], acc[r][n]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) {
      store(s + r * nr<R> + n * vl<R>, step.finish(acc[r][n]));
    }
  }
}

// acc[r][d] += Σ_c p[r][c]·v[c][d], one row tile of queries and a run of keys (or pairs of them), N
// registers of columns.
template <int N, class R, class Step = Single<R>>
HEED_INLINE void pv_tile(const R* __restrict p, const R* __restrict v, int keys, R* __restrict acc,
                         const Step& step = {}) {
  constexpr int stride = N * vl<R>;
  constexpr int most = nr<R> / Step::k_pack;
  Array<Array<Vec<R>, N>, mr<R>> sum;
#pragma GCC unroll 16
  for (int r = 0; r < mr<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) sum[r][n] = load(acc + r * stride + n * vl<R>);
  }
  for (; keys > 0; keys -= most, p += mr<R> * nr<R>) {
    const int count = keys < most ? keys : most;
#pragma GCC unroll 4
    for (int c = 0; c < count; ++c, v += stride) {
      Array<Vec<R>, N> b;
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) b[n] = load(v + n * vl<R>);
#pragma GCC unroll 16
      for (int r = 0; r < mr<R>; ++r) {
        const Vec<R> a = broadcast(p[r * nr<R> + c]);
#pragma GCC unroll 16
        for (int n = 0; n < N; ++n) sum[r][n] = step.add(a, b[n], sum[r][n]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < mr<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) store(acc + r * stride + n * vl<R>, sum[r][n]);
  }
}

// Scores of all row tiles with a panel of keys of which only the first N registers hold keys. It
// stands apart from the other loop, which would run out of registers.
template <int N, class R, class Step>
[[gnu::noinline]] void qk_short_panel(const TileArgs<R>& args, int p, const Step& step) {
  constexpr int tile_size = mr<R> * nr<R>;
  const Index D = (args.D + Step::k_pack - 1) / Step::k_pack;
  for (int g = 0; g < args.m_tiles; ++g) {
    const Index at = Index{g} * args.panels + p;
    if (args.coverage[at] == 0) continue;
    qk_tile<R, mr<R>, N, Step>(args.q + g * mr<R> * D, D, args.kt + p * D * nr<R>,
                               args.scores + at * tile_size, false, step);
  }
}

// scores = q kᵀ, every live tile. A panel of keys stays in L1 while all row tiles use it.
// Beyond the last key scores are whatever they were.
template <class R, class Step>
HEED_INLINE void qk_tiles(const TileArgs<R>& args, const Step& step) {
  constexpr int tile_size = mr<R> * nr<R>;
  constexpr int half = (vectors<R> + 1) / 2;
  for (int p = 0; p < args.panels; ++p) {
    if (args.keys - p * nr<R> <= half * vl<R>) return qk_short_panel<half>(args, p, step);
    for (int g = 0; g < args.m_tiles; ++g) {
      const Index at = Index{g} * args.panels + p;
      if (args.coverage[at] == 0) continue;
      const Index D = (args.D + Step::k_pack - 1) / Step::k_pack;
      qk_tile<R, mr<R>, vectors<R>, Step>(args.q + g * mr<R> * D, D, args.kt + p * D * nr<R>,
                                          args.scores + at * tile_size, false, step);
    }
  }
}

template <class R>
void qk(const TileArgs<R>& args) {
  qk_tiles(args, Single<R>{});
}

// acc of one row tile and one panel of columns, over every run of live tiles.
template <int N, class R, class Step>
HEED_INLINE void pv_m_tile(const TileArgs<R>& args, int m_tile, const R* v, R* acc,
                           const Step& step) {
  constexpr int k_pack = Step::k_pack;
  constexpr int tile_size = mr<R> * nr<R>;
  const std::uint8_t* coverage = args.coverage + Index{m_tile} * args.panels;
  const R* p = args.scores + Index{m_tile} * args.panels * tile_size;
  for (int begin = 0; begin < args.panels; ++begin) {
    if (coverage[begin] == 0) continue;
    int end = begin + 1;
    while (end < args.panels && coverage[end] != 0) ++end;
    const int last = end * nr<R> < args.keys ? end * nr<R> : args.keys;
    pv_tile<N>(p + Index{begin} * tile_size, v + Index{begin} * (nr<R> / k_pack) * (N * vl<R>),
               (last - begin * nr<R> + k_pack - 1) / k_pack, acc, step);
    begin = end;
  }
}

// acc += weights · v. A panel of values stays in L1 while all row tiles use it.
template <class R, class Step>
HEED_INLINE void pv_tiles(const TileArgs<R>& args, const Step& step) {
  for (Index d = 0; d < args.columns; d += nr<R>) {
    const R* v = args.v + d * (args.capacity / Step::k_pack);
    const Index registers = (args.columns - d) / vl<R>;
    for (int g = 0; g < args.m_tiles; ++g) {
      R* acc = args.acc + (g * args.columns + d) * mr<R>;
      if (registers >= vectors<R>) {
        pv_m_tile<vectors<R>>(args, g, v, acc, step);
      } else if (registers == 1) {
        pv_m_tile<1>(args, g, v, acc, step);
      } else if constexpr (vectors<R> > 2) {
        if (registers == 2) pv_m_tile<2>(args, g, v, acc, step);
        if (registers == 3) pv_m_tile<3>(args, g, v, acc, step);
      }
    }
  }
}

template <class R>
void pv(const TileArgs<R>& args) {
  pv_tiles(args, Single<R>{});
}

// acc += weights · v where some values are NaN or infinite: keys that a row does not see are left
// out, since 0·inf is not 0.
//   unmasked  as scores; nonzero where the row sees the key
template <class R>
void pv_masked(const TileArgs<R>& args, const std::uint8_t* unmasked) {
  constexpr int tile_size = mr<R> * nr<R>;
  for (Index at = 0; at < Index{args.m_tiles} * args.panels * tile_size; ++at) {
    const Index where = at / tile_size;
    const Index m_tile = where / args.panels;
    const Index key = where % args.panels * nr<R> + at % nr<R>;
    const Index r = at % tile_size / nr<R>;
    if (args.coverage[where] == 0 || key >= args.keys || unmasked[at] == 0) continue;
    for (Index d = 0; d < args.columns; d += nr<R>) {
      const Index stride = args.columns - d < nr<R> ? args.columns - d : nr<R>;
      const R* v = args.v + d * args.capacity + key * stride;
      R* acc = args.acc + (m_tile * args.columns + d) * mr<R> + r * stride;
      for (Index n = 0; n < stride; n += vl<R>) {
        store(acc + n, fma(broadcast(args.scores[at]), load(v + n), load(acc + n)));
      }
    }
  }
}
