// Part of kernels.inl: C (+)= A·B of packed operands. One micro-kernel; its operand A says how it
// is read.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// The multiply-add of a tile: a lane holds one element, or the pair that bf16_pairs.inl multiplies
// at once.
template <class R>
struct Single {
  static constexpr int k_pack = 1;  // elements of a lane

  HEED_INLINE explicit Single([[maybe_unused]] R scale = 1) { HEED_ASSERT(scale == 1); }
  HEED_INLINE Vec<R> add(Vec<R> a, Vec<R> b, Vec<R> sum) const { return fma(a, b, sum); }
  HEED_INLINE Vec<R> finish(Vec<R> sum) const { return sum; }
};

// a(r, k) = a[r·row_stride + k·k_stride] for `run` values of k; the next run is `jump` numbers on.
// Packed rows: one run.
template <class R>
struct RowsOfA {
  const R* a;
  Index row_stride;
  static constexpr Index k_stride = 1;

  HEED_INLINE Index run(Index k) const { return k; }
  HEED_INLINE void advance() {}
};

// Packed columns: the mr rows of a tile are neighbours.
template <class R>
struct ColumnsOfA {
  const R* a;
  static constexpr Index row_stride = 1, k_stride = mr<R>;

  HEED_INLINE Index run(Index k) const { return k; }
  HEED_INLINE void advance() {}
};

// Score tiles of a row tile: a run is a panel of keys.
template <class R, int KPack>
struct TilesOfA {
  const R* a;
  static constexpr Index row_stride = nr<R>, k_stride = 1;

  HEED_INLINE Index run(Index k) const { return k < nr<R> / KPack ? k : nr<R> / KPack; }
  HEED_INLINE void advance() { a += mr<R> * nr<R>; }
};

// Score tiles of a panel read transposed: row r is column r of the tiles, a run is a row tile.
template <class R>
struct TransposedTilesOfA {
  const R* a;
  Index jump;  // from a row tile to the next
  static constexpr Index row_stride = 1, k_stride = nr<R>;

  HEED_INLINE Index run(Index k) const { return k < mr<R> ? k : mr<R>; }
  HEED_INLINE void advance() { a += jump; }
};

// c[r][n] (+)= Σ_k a(r, k)·b[k][n], Rows rows and N registers of a tile. With `add`, c comes first
// in the sum.
template <int Rows, int N, class R, class A, class Step>
HEED_INLINE void micro_kernel(A a, Index k, const R* __restrict b, Index b_stride, R* __restrict c,
                              Index c_stride, bool add, const Step& step) {
  Array<Array<Vec<R>, N>, Rows> sum = {};
  if (add) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) sum[r][n] = load(c + r * c_stride + n * vl<R>);
    }
  }
  for (; k > 0; k -= a.run(k), a.advance()) {
    const Index run = a.run(k);
    const R* __restrict at = a.a;
    for (Index i = 0; i < run; ++i, b += b_stride) {
      Array<Vec<R>, N> row;
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) row[n] = load(b + n * vl<R>);
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) {
        const Vec<R> x = broadcast(at[r * a.row_stride + i * a.k_stride]);
#pragma GCC unroll 16
        for (int n = 0; n < N; ++n) sum[r][n] = step.add(x, row[n], sum[r][n]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) store(c + r * c_stride + n * vl<R>, step.finish(sum[r][n]));
  }
}

// Tile (g, p) of the products, the first N registers of its columns.
template <int N, class R, class Shape, class Step>
HEED_INLINE void qk_tile(const PackedA<const R, Shape>& a, const PackedB<const R, Shape>& b,
                         const ScoreTiles<R, Shape>& c, int g, int p, const Step& step) {
  micro_kernel<mr<R>, N>(RowsOfA<R>{a.tile(g), a.stride()}, a.stride(), b.panel(p), Index{nr<R>},
                         c.tile(g, p), Index{nr<R>}, false, step);
}

// All row tiles with a panel of which only the first N registers hold columns. It stands apart from
// the other loop, which would run out of registers.
template <int N, class R, class Shape, class Step>
[[gnu::noinline]] void qk_short_panel(const PackedA<const R, Shape>& a,
                                      const PackedB<const R, Shape>& b,
                                      const ScoreTiles<R, Shape>& c, int p, const Step& step) {
  for (int g = 0; g < c.m_tiles; ++g) {
    if (c.live(g, p)) qk_tile<N>(a, b, c, g, p, step);
  }
}

// c = a·b, every live tile. A panel of b stays in L1 while all row tiles use it. Beyond the last
// column c is whatever it was.
template <class R, class Step = Single<R>>
void qk(const PackedA<const R>& q, const PackedB<const R>& kt, const ScoreTiles<R>& scores) {
  constexpr ConstantShape<tile_shape<R, Step::k_pack>> shape;
  constexpr int half = (vectors<R> + 1) / 2;
  HEED_ASSERT(q.k == kt.k);
  const auto a = q.in(shape);
  const auto b = kt.in(shape);
  const auto c = scores.in(shape);
  const Step step(q.scale);
  for (int p = 0; p < c.panels; ++p) {
    if (c.columns - p * nr<R> <= half * vl<R>) return qk_short_panel<half>(a, b, c, p, step);
    for (int g = 0; g < c.m_tiles; ++g) {
      if (c.live(g, p)) qk_tile<vectors<R>>(a, b, c, g, p, step);
    }
  }
}

// Row tile g of c and one panel of columns, over every run of live tiles of a.
template <int N, class R, class Shape, class Step>
HEED_INLINE void pv_m_tile(const ScoreTiles<R, Shape>& a, int g, const R* b, R* c,
                           const Step& step) {
  constexpr int k_pack = Step::k_pack, stride = N * vl<R>;
  for (int begin = 0; begin < a.panels; ++begin) {
    if (!a.live(g, begin)) continue;
    int end = begin + 1;
    while (end < a.panels && a.live(g, end)) ++end;
    const int last = end * nr<R> < a.columns ? end * nr<R> : a.columns;
    micro_kernel<mr<R>, N>(
        TilesOfA<R, k_pack>{a.tile(g, begin)}, Index{(last - begin * nr<R> + k_pack - 1) / k_pack},
        b + Index{begin} * (nr<R> / k_pack) * stride, Index{stride}, c, Index{stride}, true, step);
    begin = end;
  }
}

// c += a·b. A panel of b stays in L1 while all row tiles use it.
template <class R, class Step = Single<R>>
void pv(const ScoreTiles<R>& p, const PackedB<const R>& v, const Accumulator<R>& acc) {
  constexpr ConstantShape<tile_shape<R, Step::k_pack>> shape;
  HEED_ASSERT(p.columns <= v.k && v.columns == acc.columns);
  const auto a = p.in(shape);
  const auto b = v.in(shape);
  const auto c = acc.in(shape);
  const Step step;
  for (Index n = 0; n < b.panels(); ++n) {
    const Index registers = b.width(n) / vl<R>;
    for (int g = 0; g < a.m_tiles; ++g) {
      R* to = c.tile(g, n);
      if (registers == vectors<R>) {
        pv_m_tile<vectors<R>>(a, g, b.panel(n), to, step);
      } else if (registers == 1) {
        pv_m_tile<1>(a, g, b.panel(n), to, step);
      } else if constexpr (vectors<R> > 2) {
        if (registers == 2) pv_m_tile<2>(a, g, b.panel(n), to, step);
        if (registers == 3) pv_m_tile<3>(a, g, b.panel(n), to, step);
      }
    }
  }
}

// c += a·b where some of b are NaN or infinite: columns that a row of a does not see are left out,
// since 0·inf is not 0.
//   unmasked  as a; nonzero where the row sees the column
template <class R>
void pv_masked(const ScoreTiles<R>& a, const PackedB<const R>& b, const std::uint8_t* unmasked,
               const Accumulator<R>& c) {
  constexpr ConstantShape<tile_shape<R>> shape;
  const auto p = a.in(shape);
  const auto v = b.in(shape);
  const auto acc = c.in(shape);
  for (Index at = 0; at < p.tiles() * p.tile_size(); ++at) {
    const Index g = at / p.tile_size() / p.panels, panel = at / p.tile_size() % p.panels;
    const Index key = panel * nr<R> + at % nr<R>;
    const Index row = g * mr<R> + at % p.tile_size() / nr<R>;
    if (!p.live(g, panel) || key >= p.columns || unmasked[at] == 0) continue;
    for (Index n = 0; n < v.panels(); ++n) {
      const R* from = v.panel(n) + key * v.width(n);
      R* to = acc.row(row, n);
      for (Index d = 0; d < v.width(n); d += vl<R>) {
        store(to + d, fma(broadcast(p.data[at]), load(from + d), load(to + d)));
      }
    }
  }
}

// The most rows, at most MR, that divide a panel: the height of pv_transposed's row tiles.
template <class R>
constexpr int transposed_mr() {
  int rows = mr<R>;
  while (nr<R> % rows != 0) --rows;
  return rows;
}
template <class R>
inline constexpr TileShape transposed_shape{transposed_mr<R>(), nr<R>, vl<R>};

// Panel p of a against the first N registers of a panel of b, over every run of live tiles.
template <int N, class R, class Shape, class CShape>
HEED_INLINE void pv_transposed_panel(const ScoreTiles<R, Shape>& a, int p, const R* b, Index n,
                                     const Accumulator<R, CShape>& c) {
  constexpr int rows = transposed_mr<R>(), stride = N * vl<R>;
  for (int begin = 0; begin < a.m_tiles; ++begin) {
    if (!a.live(begin, p)) continue;
    int end = begin + 1;
    while (end < a.m_tiles && a.live(end, p)) ++end;
    const int last = end * mr<R> < a.rows ? end * mr<R> : a.rows;
    for (int j = 0; j < nr<R> && p * nr<R> + j < a.columns; j += rows) {
      micro_kernel<rows, N>(
          TransposedTilesOfA<R>{a.tile(begin, p) + j, a.tile(1, 0) - a.tile(0, 0)},
          Index{last - begin * mr<R>}, b + Index{begin} * mr<R> * stride, Index{stride},
          c.tile((p * nr<R> + j) / rows, n), Index{stride}, true, Single<R>{});
    }
    begin = end;
  }
}

// c += aᵀ·b: row j of c is column j of a. Tiles that are not live are not read; rows of c beyond
// the last column of a are whatever they come out as.
//   c  [columns of a up to a whole panel, columns of b], in tiles of transposed_shape
template <class R>
void pv_transposed(const ScoreTiles<R>& a, const PackedB<const R>& b, const Accumulator<R>& c) {
  constexpr ConstantShape<tile_shape<R>> shape;
  const auto p = a.in(shape);
  const auto v = b.in(shape);
  const auto sums = c.in(ConstantShape<transposed_shape<R>>{});
  HEED_ASSERT(a.rows <= b.k && b.columns == c.columns);
  for (Index n = 0; n < v.panels(); ++n) {
    const Index registers = v.width(n) / vl<R>;
    for (int panel = 0; panel < p.panels; ++panel) {
      if (registers == vectors<R>) {
        pv_transposed_panel<vectors<R>>(p, panel, v.panel(n), n, sums);
      } else if (registers == 1) {
        pv_transposed_panel<1>(p, panel, v.panel(n), n, sums);
      } else if constexpr (vectors<R> > 2) {
        if (registers == 2) pv_transposed_panel<2>(p, panel, v.panel(n), n, sums);
        if (registers == 3) pv_transposed_panel<3>(p, panel, v.panel(n), n, sums);
      }
    }
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
