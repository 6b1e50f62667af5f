// Part of kernels.inl: keys in panels, as caches keep them, in one piece or in pages: q·kᵀ of a few
// queries, and values that are the first features of their keys.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// Prefetch distance in elements of panels, which are read from end to end, into L2. Zen 4, one
// thread, keys in pages of 2 MiB, D 128:
// - float on AVX-512, two or four queries, read by one sweep: q·kᵀ takes 0.72 of its time at 512
//   bytes beside 6144, which holds the hardware's prefetch back (none at all 0.72, 16384 1.06).
// - Three or five and more sweep over a panel again, with time to fetch all of the next one: 0.71
//   of three, 0.80 of eight, which 512 bytes slow down (1.13).
// - bfloat16, bound by its products: 512 bytes 1.2 of a call's time, 2048 1.3, 8192 0.99.
// - One query of float and AVX2: 6144 is 1.0 to 1.05 times as fast as 512.
template <class T>
Index prefetched_panel(int rows, Index D) {
  constexpr Index bytes = sizeof(T);
  if (bytes == 2 || rows == 1 || sizeof(Vec<Accum<T>>) < 64) return 6144 / bytes;
  return rows == 3 || rows > 4 ? D * nr<Accum<T>> : 512 / bytes;
}

// A panel of keys in one piece, [D, NR]; `ahead` is read later.
template <class T>
struct WholePanel {
  using R = Accum<T>;
  const T *k, *ahead;

  HEED_INLINE void load(Index d, Array<Vec<R>, vectors<R>>& key) const {
#pragma GCC unroll 16
    for (int n = 0; n < vectors<R>; ++n) {
      if (begins_line<T>(n)) __builtin_prefetch(ahead + d * nr<R> + n * vl<R>, 0, 2);
    }
    load_pairs<R, T, vectors<R>>(k + d * nr<R>, key);
  }
  // Products with what was loaded become those of the keys in ascending order.
  static HEED_INLINE void to_key_order(Array<Vec<R>, vectors<R>>& x) {
    join_pairs<R, T, vectors<R>>(x);
  }
};

// A panel of keys in slices of VL, whose features lie `width` apart. The next panel is prefetched
// from end to end: Zen 4, one thread, one query over 8192 keys in scattered pages of 16, D 128, 3.8
// ms; feature by feature 3.9 to 4.0; 16, 32 and 64 features ahead 4.5, 4.1 and 3.9; 192 and
// 256 4.2.
template <class T>
struct SlicedPanel {
  using R = Accum<T>;
  const KvSlice<T>* slices;  // [2 · vectors]
  Index width;
  Index rows;  // of VL numbers that lie behind each other: a page's, or a panel's

  // Row n of the next panel.
  HEED_INLINE const T* next(Index n) const {
    int slice = 0;
#pragma GCC unroll 4
    for (int m = 1; m < vectors<R>; ++m) slice += n >= m * rows ? 1 : 0;
    return slices[vectors<R> + slice].k + (n - slice * rows) * vl<R>;
  }

  HEED_INLINE void load(Index d, Array<Vec<R>, vectors<R>>& key) const {
#pragma GCC unroll 16
    for (int n = 0; n < vectors<R>; ++n) {
      __builtin_prefetch(next(d * vectors<R> + n), 0, 2);
      key[n] = load_as<R>(slices[n].k + d * width);
    }
  }
  static HEED_INLINE void to_key_order(Array<Vec<R>, vectors<R>>&) {}
};

// s[r][c] = Σ_d q[r][d]·k(d, c) for Rows queries and a panel of keys. Sums have the order of
// micro_kernel's, and so its bits.
template <int Rows, class R, class Panel>
HEED_INLINE void qk_panel(const Panel& k, Index D, const R* q, R* s) {
  Array<Array<Vec<R>, vectors<R>>, Rows> sum = {};
#pragma GCC unroll 4
  for (Index d = 0; d < D; ++d) {
    Array<Vec<R>, vectors<R>> key;
    k.load(d, key);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec<R> query = broadcast(q[r * D + d]);
#pragma GCC unroll 16
      for (int n = 0; n < vectors<R>; ++n) sum[r][n] = fma(query, key[n], sum[r][n]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    Panel::to_key_order(sum[r]);
#pragma GCC unroll 16
    for (int n = 0; n < vectors<R>; ++n) store(s + r * nr<R> + n * vl<R>, sum[r][n]);
  }
}

template <class R, class Panel>
struct QkPanel {
  Panel k;
  RaggedTile tile;
  Index D;
  const R* q;
  R* scores;

  template <int Rows>
  HEED_INLINE void run(int row) const {
    qk_panel<Rows>(k, D, q + row * D, scores + row * nr<R>);
  }
};

// q·kᵀ of keys in panels; scores.rows rows are real. Scores beyond the last key are unspecified.
//   panel(p)  panel p
template <class R, class F>
HEED_INLINE void qk_each_panel(const PackedA<const R>& q, const ScoreTiles<R>& scores,
                               const F& panel) {
  constexpr ConstantShape<tile_shape<R>> shape;
  const auto s = scores.in(shape);
  const auto rows = q.in(shape);
  HEED_ASSERT(q.scale == 1);
  for_each_ragged_tile(
      s, [&](int g, int p, const RaggedTile& here) __attribute__((always_inline)) {
        const auto k = panel(p);
        run_rows(QkPanel<R, decltype(k)>{k, here, q.k, rows.tile(g), s.tile(g, p)});
      });
}

//   k  [panels, D, NR]
template <class T>
void qk_panels(const PackedA<const Accum<T>>& q, const T* k, const ScoreTiles<Accum<T>>& scores) {
  const Index ahead = prefetched_panel<T>(scores.rows, q.k);
  qk_each_panel(
      q, scores, [&](int p) __attribute__((always_inline)) {
        const T* panel = k + p * q.k * nr<Accum<T>>;
        return WholePanel<T>{panel, panel + ahead};
      });
}

//   k      [panels + 1, vectors]; the last ones are prefetched alone
//   width  from a feature of a key to its next
template <class T>
void qk_slices(const PackedA<const Accum<T>>& q, const KvSlice<T>* k, Index width,
               const ScoreTiles<Accum<T>>& scores) {
  qk_each_panel(
      q, scores, [&](int p) __attribute__((always_inline)) {
        return SlicedPanel<T>{k + p * vectors<Accum<T>>, width, q.k * width / vl<Accum<T>>};
      });
}

// o += p·v of values in slices of VL rows, contiguous.
//   v  [panels + 1, vectors], as the keys of qk_slices
template <class T>
void pv_slices(const ScoreTiles<Accum<T>>& p, const KvSlice<T>* v, Index Dv,
               const Accumulator<Accum<T>>& acc) {
  pv_each_tile<T>(
      p, Dv, acc, [&](int panel, ValueRows<T>& rows) __attribute__((always_inline)) {
        rows.stride = Dv;
        rows.of_pages = true;
        for (int n = 0; n < vectors<Accum<T>>; ++n) {
          rows.at[n] = v[panel * vectors<Accum<T>> + n].v;
          rows.ahead[n] = v[(panel + 1) * vectors<Accum<T>> + n].v;
        }
      });
}

// v(c, d) = k(d, c): the first Dv features of keys in panels, as rows.
//   k  [panels, D, NR]
//   v  [keys, Dv], rows contiguous
template <class T>
void panels_to_rows(const T* k, Index D, const View<T, 2>& v) {
  using R = Accum<T>;
  constexpr int lanes = vl<R>;
  const Index Dv = v.extent[1], stride = v.stride[0];
  HEED_ASSERT(Dv <= D);
  for (Index c = 0; c < v.extent[0]; c += lanes) {
    const T* from = k + c / nr<R> * D * nr<R> + c % nr<R>;
    T* to = v.data + c * stride;
    const Index left = v.extent[0] - c;
    Index d = 0;
    for (; left >= lanes && d + lanes <= Dv; d += lanes) {
      Array<Vec<R>, lanes> square;
#pragma GCC unroll 16
      for (int n = 0; n < lanes; ++n) square[n] = load_as<R>(from + (d + n) * nr<R>);
      transpose<R>(square);
#pragma GCC unroll 16
      for (int n = 0; n < lanes; ++n) store_as<R>(square[n], to + n * stride + d);
    }
    for (; d < Dv; ++d) {
      for (Index n = 0; n < lanes && n < left; ++n) to[n * stride + d] = from[d * nr<R> + n];
    }
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
