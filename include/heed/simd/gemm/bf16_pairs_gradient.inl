// Part of bf16_pairs.inl: the products of gradients: dS·k, and pᵀ·dO and dSᵀ·q in pairs along the
// rows of p and dS.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE avx512_bf16
#include "heed/simd/target/alone.inl"
#endif

// The sum of a row's errors, a − a rounded, over its live tiles.
template <class Shape>
HEED_INLINE float rounding_residual(const ScoreTiles<float, Shape>& a, Index row) {
  static_assert(vectors<float> == 2);
  Vec<float> residual{};
  for (int p = 0; p < a.panels; ++p) {
    if (!a.live(row / mr<float>, p)) continue;
    const Vec<float> low = load(a.row(row, p)), high = load(a.row(row, p) + vl<float>);
    const auto pairs = (Words)round_pairs(low, high);
    residual += (low + high) - ((Vec<float>)(pairs << 16) + (Vec<float>)(pairs & 0xffff0000u));
  }
  return reduce_add<float>(residual)[0];
}

// The first column of a row's live tiles where a is not 0, so that the row sees it; or none: −1.
template <class Shape>
HEED_INLINE int first_nonzero(const ScoreTiles<float, Shape>& a, Index row) {
  for (int p = 0; p < a.panels; ++p) {
    if (!a.live(row / mr<float>, p)) continue;
    const float* s = a.row(row, p);
    for (int j = 0; j < nr<float> && p * nr<float> + j < a.columns; ++j) {
      if (s[j] != 0) return p * nr<float> + j;
    }
  }
  return -1;
}

// c += the residual of each row of a · the first row of b that it sees. Rows of dS sum to 0, so
// that dS·k is made of differences of keys; a residual would add its multiple of their mean to dQ.
template <class Shape>
HEED_INLINE void add_residuals(const ScoreTiles<float, Shape>& a,
                               const PackedB<const float, Shape>& b,
                               const Accumulator<float, Shape>& c) {
  for (Index row = 0; row < a.rows; ++row) {
    const int column = first_nonzero(a, row);
    if (column < 0) continue;
    const Vec<float> residual = broadcast(rounding_residual(a, row));
    for (Index n = 0; n < b.panels(); ++n) {
      const float* from = b.panel(n) + column / 2 * b.width(n);
      float* to = c.row(row, n);
      for (Index d = 0; d < b.width(n); d += vl<float>) {
        const auto pair = (Words)load(from + d);
        const Words x = column % 2 == 0 ? pair << 16 : pair & 0xffff0000u;
        store(to + d, fma(residual, (Vec<float>)x, load(to + d)));
      }
    }
  }
}

// pv_pairs that keeps the sum of each row of a.
template <class R>
void pv_balanced_pairs(const ScoreTiles<R>& a, const PackedB<const R>& b, const Accumulator<R>& c) {
  constexpr ConstantShape<bf16_tile_shape> shape;
  add_residuals(a.in(shape), b.in(shape), c.in(shape));
  pv_pairs(a, b, c);
}

// pv_masked_pairs that keeps it: a column that is not 0 is unmasked.
template <class R>
void pv_masked_balanced_pairs(const ScoreTiles<R>& a, const PackedB<const R>& b,
                              const std::uint8_t* unmasked, const Accumulator<R>& c) {
  constexpr ConstantShape<bf16_tile_shape> shape;
  add_residuals(a.in(shape), b.in(shape), c.in(shape));
  pv_masked_pairs(a, b, unmasked, c);
}

// Row tiles of a panel that are packed together: 4 KiB, which stay in L1 beside as much of b.
inline constexpr int transposed_m_tiles = 64 / mr<float>;
using TransposedPairs = Array<float, transposed_m_tiles * mr<float> / 2 * nr<float>>;

// a(j, k) = pair k of column j, packed as [pairs of rows, NR].
struct PairColumnsOfA {
  const float* a;
  static constexpr Index row_stride = 1, k_stride = nr<float>;

  HEED_INLINE Index run(Index k) const { return k; }
  HEED_INLINE void advance() {}
};

// Rows of a run of live row tiles [begin, end) of panel p; `pairs` counts the last one half empty.
struct TransposedRun {
  int begin, end;
  Index pairs;
};

// Rounds a run's columns to pairs of rows; beyond the last row they are 0.
//   to  [pairs, NR]
template <class Shape>
HEED_INLINE void pack_transposed_pairs(const ScoreTiles<float, Shape>& a, const TransposedRun& run,
                                       int p, float* to) {
  static_assert(mr<float> % 2 == 0 && vectors<float> == 2);
  for (Index pair = 0; pair < run.pairs; ++pair, to += nr<float>) {
    const Index row = run.begin * mr<float> + 2 * pair;
    const float* from = a.row(row, p);
#pragma GCC unroll 4
    for (int n = 0; n < vectors<float>; ++n) {
      const Vec<float> low = load(from + n * vl<float>);
      const Vec<float> high =
          row + 1 < a.rows ? load(from + nr<float> + n * vl<float>) : Vec<float>{};
      store(to + n * vl<float>, round_pairs_of(low, high));
    }
  }
}

// f(run) for the runs of live tiles of panel p, of at most transposed_m_tiles tiles each.
template <class Shape, class F>
HEED_INLINE void for_each_transposed_run(const ScoreTiles<float, Shape>& a, int p, const F& f) {
  for (int begin = 0; begin < a.m_tiles; ++begin) {
    if (!a.live(begin, p)) continue;
    int end = begin + 1;
    while (end < a.m_tiles && end - begin < transposed_m_tiles && a.live(end, p)) ++end;
    const int last = end * mr<float> < a.rows ? end * mr<float> : a.rows;
    f(TransposedRun{begin, end, Index{(last - begin * mr<float> + 1) / 2}});
    begin = end - 1;
  }
}

// Columns [d, d + N registers) of panel n of c += a run's packed columns · b.
//   b  [pairs, N registers, b_stride apart]
template <int N, class Shape, class CShape>
HEED_INLINE void multiply_transposed_run(const ScoreTiles<float, Shape>& a, Index pairs, int p,
                                         const float* packed, const float* b, Index b_stride,
                                         const Accumulator<float, CShape>& c, Index n, Index d) {
  constexpr int rows = transposed_mr<float>();
  for (int j = 0; j < nr<float> && p * nr<float> + j < a.columns; j += rows) {
    micro_kernel<rows, N>(PairColumnsOfA{packed + j}, pairs, b, b_stride,
                          c.tile((p * nr<float> + j) / rows, n) + d, c.width(n), true, Paired{});
  }
}

// pv_transposed with a rounded to bfloat16.
template <class R>
void pv_transposed_pairs(const ScoreTiles<R>& a, const PackedB<const R>& b,
                         const Accumulator<R>& c) {
  constexpr ConstantShape<bf16_tile_shape> shape;
  const auto p = a.in(shape);
  const auto v = b.in(shape);
  const auto sums = c.in(ConstantShape<transposed_shape<float>>{});
  HEED_ASSERT(a.rows <= b.k && b.columns == c.columns);
  TransposedPairs packed;
  for (int panel = 0; panel < p.panels; ++panel) {
    for_each_transposed_run(p, panel, [&](const TransposedRun& run) {
      pack_transposed_pairs(p, run, panel, packed);
      for (Index n = 0; n < v.panels(); ++n) {
        const Index stride = v.width(n);
        const float* from = v.panel(n) + Index{run.begin} * (mr<float> / 2) * stride;
        if (stride == nr<float>) {
          multiply_transposed_run<vectors<float>>(p, run.pairs, panel, packed, from, stride, sums,
                                                  n, 0);
        } else {
          multiply_transposed_run<1>(p, run.pairs, panel, packed, from, stride, sums, n, 0);
        }
      }
    });
  }
}

// Adds what is not finite in one register of b to the columns of a that see its row.
//   b  [pairs, stride]; its finite values go to `finite`, [pairs, VL]
template <class Shape, class CShape>
HEED_INLINE void add_transposed_unmasked(const ScoreTiles<float, Shape>& a,
                                         const TransposedRun& run, int p, const float* b,
                                         Index stride, const std::uint8_t* unmasked, float* finite,
                                         const Accumulator<float, CShape>& c, Index n, Index d) {
  for (Index pair = 0; pair < run.pairs; ++pair) {
    const Sorted sorted = sort_pairs(load(b + pair * stride));
    store(finite + pair * vl<float>, sorted.finite);
    for (int which = 0; which < 2; ++which) {
      const Index row = run.begin * mr<float> + 2 * pair + which;
      if (row >= a.rows) continue;
      const Index at = a.row(row, p) - a.data;
      for (int j = 0; j < nr<float> && p * nr<float> + j < a.columns; ++j) {
        if (unmasked[at + j] == 0) continue;
        float* to = c.row(p * nr<float> + j, n) + d;
        const Vec<float> x = which == 0 ? sorted.first : sorted.second;
        store(to, fma(broadcast(a.data[at + j]), x, load(to)));
      }
    }
  }
}

// pv_transposed_pairs where some of b are NaN or infinite: a column of a that does not see their
// row has the bits that it has without them.
//   unmasked  as a; nonzero where the row sees the column
template <class R>
void pv_transposed_masked_pairs(const ScoreTiles<R>& a, const PackedB<const R>& b,
                                const std::uint8_t* unmasked, const Accumulator<R>& c) {
  constexpr ConstantShape<bf16_tile_shape> shape;
  const auto p = a.in(shape);
  const auto v = b.in(shape);
  const auto sums = c.in(ConstantShape<transposed_shape<float>>{});
  TransposedPairs packed;
  Array<float, transposed_m_tiles * mr<float> / 2 * vl<float>> finite;
  for (int panel = 0; panel < p.panels; ++panel) {
    for_each_transposed_run(p, panel, [&](const TransposedRun& run) {
      pack_transposed_pairs(p, run, panel, packed);
      for (Index n = 0; n < v.panels(); ++n) {
        const Index stride = v.width(n);
        for (Index d = 0; d < stride; d += vl<float>) {
          const float* from = v.panel(n) + Index{run.begin} * (mr<float> / 2) * stride + d;
          add_transposed_unmasked(p, run, panel, from, stride, unmasked, finite, sums, n, d);
          multiply_transposed_run<1>(p, run.pairs, panel, packed, finite, Index{vl<float>}, sums, n,
                                     d);
        }
      }
    });
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
