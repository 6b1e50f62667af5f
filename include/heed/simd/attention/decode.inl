// Part of kernels.inl: q·kᵀ and p·v for a few queries, as in decoding. Keys and values are read
// once and not packed: packing would cost as much as the products.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// Prefetch distance in rows, into L2: L1 has too few outstanding misses. Zen 4, 64 MiB of keys and
// values: 16 rows ahead into L1 9.5 GB/s, 32 ahead into L2 13.5, with every line of wide values
// 19.5.
inline constexpr int prefetched_rows = 32;

template <class T>
HEED_INLINE void prefetch(const T* row, Index stride) {
  __builtin_prefetch(row + prefetched_rows * stride, 0, 2);
}

// True where register n of a run that starts on a cache line starts another line.
template <class T>
constexpr bool begins_line(int n) {
  constexpr int line = 64;
  return n * vl<Accum<T>> * static_cast<int>(sizeof(T)) % line == 0;
}

// Sums of four rows that are in flight: keys of q·kᵀ, registers of p·v. AVX-512 holds 16 of them,
// so that eight loads feed 16 multiply-adds and not six 8. Zen 4, one thread, one query over 4096
// keys: groups of 4, 8, 12 and 16, D 128, 0.46, 0.52, 0.54 and 0.60 of the peak -> 0.69, 0.76,
// 0.78 and 0.79; 16 heads of 576/512 0.59 -> 0.85.
template <class R, int Rows>
inline constexpr int interleaved_sums = Rows == 4 && sizeof(Vec<R>) == 64 ? 4 : 8 / Rows;

// s[r][c] = Σ_d q[r][d]·k(c, d) for Rows queries and Keys keys, as far as d fills whole registers;
// sums of lanes, then of the register.
template <int Rows, int Keys, class T>
HEED_INLINE void qk_block(const View<const T, 2>& k, int first, const Accum<T>* q, Accum<T>* s) {
  using R = Accum<T>;
  const Index D = k.extent[1];
  Array<Array<Vec<R>, Keys>, Rows> acc = {};
  for (Index d = 0; d + vl<R> <= D; d += vl<R>) {
    Array<Vec<R>, Keys> key;
#pragma GCC unroll 16
    for (int c = 0; c < Keys; ++c) {
      const T* from = k.data + (first + c) * k.stride[0] + d;
      prefetch(from, k.stride[0]);
      key[c] = load_as<R>(from);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec<R> query = load(q + r * D + d);
#pragma GCC unroll 16
      for (int c = 0; c < Keys; ++c) acc[r][c] = fma(query, key[c], acc[r][c]);
    }
  }
  constexpr int count = Rows * Keys;
  Array<Vec<R>, count> lanes;
#pragma GCC unroll 16
  for (int n = 0; n < count; ++n) lanes[n] = acc[n / Keys][n % Keys];
  reduce_n<JoinBySum, R, count>(lanes);
  Array<R, (count > vl<R> ? count : vl<R>)> sums;
#pragma GCC unroll 16
  for (int n = 0; n * vl<R> < count; ++n) store(sums + n * vl<R>, lanes[n]);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    if constexpr (count == vl<R>) {  // they are in order
      __builtin_memcpy(s + r * nr<R>, sums + r * Keys, sizeof(R) * static_cast<std::size_t>(Keys));
    } else {
#pragma GCC unroll 16
      for (int c = 0; c < Keys; ++c) s[r * nr<R> + c] = sums[joined_at<R, count>(r * Keys + c)];
    }
  }
}

// Adds the last D mod VL elements, which qk_block leaves out.
template <class T>
void add_tails(const View<const T, 2>& k, RaggedTile tile, const Accum<T>* q, Accum<T>* s) {
  using R = Accum<T>;
  const Index D = k.extent[1];
  const Index tail = D % vl<R>;
  for (int r = 0; tail != 0 && r < tile.rows; ++r, s += nr<R>) {
    const Vec<R> query = load_some_as<R>(q + (r + 1) * D - tail, 1, tail);
    for (int c = tile.begin; c < tile.end; ++c) {
      const T* key = k.data + c * k.stride[0] + D - tail;
      s[c - tile.begin] += reduce_add<R>(query * load_some_as<R>(key, 1, tail))[0];
    }
  }
}

// Values of a tile's keys: rows in slices of VL, `stride` apart within one.
template <class T>
struct ValueRows {
  using R = Accum<T>;
  Array<const T*, vectors<R>> at, ahead;  // `ahead`: those of another panel, to prefetch
  Index stride;
  bool of_pages;  // which are contiguous

  // The first of the numbers to prefetch beside rows from `row` on, `count` beside each of them.
  // Pages are asked for from end to end, 4 to 5 % faster than the columns that are read where pages
  // of 16 are scattered (Zen 4, D 128); others in those columns: from end to end a call over dense
  // keys took 1.10 to 1.13 of the time on AVX2 and the same on AVX-512.
  HEED_INLINE const T* ahead_of(int row, Index column, Index count) const {
    if (!of_pages) return ahead[row / vl<R>] + column;
    const Index size = vl<R> * stride;
    Index first = column * nr<R> + row * count;
    int slice = 0;
    for (; slice + 1 < vectors<R> && first >= size; ++slice) first -= size;
    return ahead[slice] + first;
  }
  HEED_INLINE const T* next(int slice) const {
    return slice + 1 < vectors<R> ? at[slice + 1] : ahead[0];
  }
};

// acc[r][d] += Σ_c p[r][c]·v(c, d), Rows queries, N registers of columns from `column` on, of which
// there are `left`; only a single one may be cut off by the last column.
//   place(r, d)  where column d of query r lies among the weighted values
template <int Rows, int N, class T, class Place>
HEED_INLINE void pv_block(const ValueRows<T>& v, int keys, Index column, Index left,
                          const Accum<T>* p, const Place& place) {
  using R = Accum<T>;
  Array<Array<Vec<R>, N>, Rows> sum;
  Array<Array<R*, N>, Rows> at;
  // Registers fill whole panels, or lie in one that may be cut. Addresses computed one by one were
  // a quarter of the code.
  constexpr bool whole = N % vectors<R> == 0;
  R* const first = place(0, column);
  const Index row = whole || Rows == 1 ? Index{nr<R>} : place(1, column) - first;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      at[r][n] = first + n / vectors<R> * mr<R> * nr<R> + r * row + n % vectors<R> * vl<R>;
      sum[r][n] = load(at[r][n]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) split_pairs<R, T, N>(sum[r]);
  for (int slice = 0, c = 0; c < keys; ++slice) {
    constexpr Index count = N * vl<R>;
    const Index step = v.of_pages ? count : v.stride;
    const T *from = v.at[slice] + column, *ahead = v.ahead_of(c, column, count);
    const T* next = v.next(slice) + column;
    const int end = c + vl<R> < keys ? c + vl<R> : keys;
    for (; c < end; ++c, from += v.stride, ahead += step, next += v.stride) {
      Array<Vec<R>, N> value;
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) {
        if (begins_line<T>(n)) {
          __builtin_prefetch(ahead + n * vl<R>, 0, 2);
          if constexpr (Rows == 1) __builtin_prefetch(next + n * vl<R>, 0, 2);
        }
      }
      if constexpr (N == 1) {
        value[0] = load_some_as<R>(from, 1, left);
      } else {
        load_pairs<R, T, N>(from, value);
      }
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) {
        const Vec<R> weight = broadcast(p[r * nr<R> + c]);
#pragma GCC unroll 16
        for (int n = 0; n < N; ++n) sum[r][n] = fma(weight, value[n], sum[r][n]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    join_pairs<R, T, N>(sum[r]);
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) store(at[r][n], sum[r][n]);
  }
}

template <class T>
struct QkUnpacked {
  using R = Accum<T>;
  const View<const T, 2>& k;
  RaggedTile tile;
  const R* q;
  R* scores;

  template <int Rows>
  HEED_INLINE void run(int row) const {
    constexpr int interleaved_keys = interleaved_sums<R, Rows>;
    const R* query = q + row * k.extent[1];
    R* s = scores + row * nr<R>;
    int c = tile.begin;
    for (; c + interleaved_keys <= tile.end; c += interleaved_keys, s += interleaved_keys) {
      qk_block<Rows, interleaved_keys>(k, c, query, s);
    }
    for (; c < tile.end; ++c, ++s) qk_block<Rows, 1>(k, c, query, s);
  }
};

// True where p·v of up to four queries takes them by halves: values come from memory in whole rows
// for the first, from L1 for the second, which asks again for those of the next tile. Zen 4, one
// thread, from memory, time of p·v: two queries of D 128 0.67, four 0.65, of D 64 0.80; four one by
// one 0.74, four together whose prefetch is asked for twice 0.82; eight by halves 1.3. Not for
// bfloat16 (1.03, whose products bound it).
template <class T>
inline constexpr bool halves_are_fast = sizeof(T) > 2 && sizeof(Vec<Accum<T>>) == 64;

template <class T, class Acc>
struct PvUnpacked {
  using R = Accum<T>;
  const ValueRows<T>& v;
  RaggedTile tile;
  Index columns;
  const R* weights;
  const Acc& acc;
  Index m_tile;

  // Eight sums hide the latency of a multiply-add; 16 also share their loads.
  template <int Rows>
  HEED_INLINE void run(int row) const {
    constexpr int interleaved_registers = interleaved_sums<R, Rows>, fewer = 8 / Rows;
    Index d = 0;
    if (tile.rows <= 4) {
      if constexpr (halves_are_fast<T> && Rows > 1) d = halves<Rows, 8>(row, d);
      if constexpr (halves_are_fast<T> && Rows == 4) d = halves<Rows, 4>(row, d);
    }
    for (; d + interleaved_registers * vl<R> <= columns; d += interleaved_registers * vl<R>) {
      block<Rows, interleaved_registers>(row, d);
    }
    if (fewer < interleaved_registers && d + fewer * vl<R> <= columns) {
      block<Rows, fewer>(row, d);
      d += fewer * vl<R>;
    }
    for (; d < columns; d += vl<R>) block<Rows, 1>(row, d);
  }

  // Half the queries, then the other half, N registers of columns at a time.
  template <int Rows, int N>
  HEED_INLINE Index halves(int row, Index column) const {
    for (; column + N * vl<R> <= columns; column += N * vl<R>) {
      block<Rows / 2, N>(row, column);
      block<Rows / 2, N>(row + Rows / 2, column);
    }
    return column;
  }

  // Out of line: several loops call each.
  template <int Rows, int N>
  [[gnu::noinline]] void block(int row, Index column) const {
    pv_block<Rows, N>(v, tile.end - tile.begin, column, columns - column, weights + row * nr<R>,
                      [&](int r, Index d) { return &acc.tile_at(m_tile, row + r, d); });
  }
};

// q·kᵀ of unpacked keys, k(c, d) contiguous in d; scores.rows rows are real.
template <class T>
void qk_unpacked(const PackedA<const Accum<T>>& q, const View<const T, 2>& k,
                 const ScoreTiles<Accum<T>>& scores) {
  constexpr ConstantShape<tile_shape<Accum<T>>> shape;
  const auto s = scores.in(shape);
  const auto rows = q.in(shape);
  HEED_ASSERT(q.scale == 1 && q.k == k.extent[1]);
  for_each_ragged_tile(
      s, [&](int g, int p, const RaggedTile& here) __attribute__((always_inline)) {
        const Accum<T>* from = rows.tile(g);
        run_rows(QkUnpacked<T>{k, here, from, s.tile(g, p)});
        add_tails(k, here, from, s.tile(g, p));
      });
}

// True where no score of a live tile is −inf, over real rows and existing keys.
template <class R>
bool all_unmasked(const ScoreTiles<R>& scores) {
  using Bits = typename Register<BitsOf<R>, vl<R>>::type;
  const auto tiles = scores.in(ConstantShape<tile_shape<R>>{});
  Bits hidden{};
  bool some = false;
  for_each_ragged_tile(
      tiles, [&](int g, int p, const RaggedTile& here) __attribute__((always_inline)) {
        const int keys = here.end - here.begin;
        const R* s = tiles.tile(g, p);
        for (int r = 0; r < here.rows; ++r, s += nr<R>) {
          int c = 0;
          for (; c + vl<R> <= keys; c += vl<R>) {
            hidden |= (Bits)((Bits)load(s + c) == masked_bits<R>);
          }
          for (; c < keys; ++c) some |= is_masked(s[c]);
        }
      });
  for (int n = 0; n < vl<R>; ++n) some |= hidden[n] != 0;
  return !some;
}

template <class T, class Acc>
[[gnu::noinline]] void pv_tile(const PvUnpacked<T, Acc>& job) {
  run_rows(job);
}

// o += p·v, tile by tile.
//   find(panel, rows)  where the values of a panel's keys lie
template <class T, class F>
HEED_INLINE void pv_each_tile(const ScoreTiles<Accum<T>>& p, Index columns,
                              const Accumulator<Accum<T>>& acc, const F& find) {
  constexpr ConstantShape<tile_shape<Accum<T>>> shape;
  const auto weights = p.in(shape);
  const auto o = acc.in(shape);
  HEED_ASSERT(columns <= acc.columns);
  for_each_ragged_tile(
      weights, [&](int g, int panel, const RaggedTile& here) __attribute__((always_inline)) {
        ValueRows<T> rows;
        find(panel, rows);
        pv_tile(PvUnpacked<T, decltype(o)>{rows, here, columns, weights.tile(g, panel), o, g});
      });
}

// o += p·v of unpacked values, v(c, d) contiguous in d.
template <class T>
void pv_unpacked(const ScoreTiles<Accum<T>>& p, const View<const T, 2>& v,
                 const Accumulator<Accum<T>>& acc) {
  pv_each_tile<T>(
      p, v.extent[1], acc, [&](int panel, ValueRows<T>& rows) __attribute__((always_inline)) {
        rows.stride = v.stride[0];
        rows.of_pages = false;
        for (int n = 0; n < vectors<Accum<T>>; ++n) {
          const Index first = panel * nr<Accum<T>> + n * vl<Accum<T>>;
          rows.at[n] = v.data + first * rows.stride;
          rows.ahead[n] = rows.at[n] + prefetched_rows * rows.stride;
        }
      });
}

// True where the rows of x, contiguous in their columns, are finite.
template <class T>
bool all_finite(const View<const T, 2>& x) {
  using R = Accum<T>;
  Exponents<R> worst{};
  for (Index c = 0; c < x.extent[0]; ++c) {
    const T* from = x.data + c * x.stride[0];
    Index d = 0;
    for (; d + vl<R> <= x.extent[1]; d += vl<R>) worst.add(load_as<R>(from + d));
    if (d < x.extent[1]) worst.add(load_some_as<R>(from + d, 1, x.extent[1] - d));
  }
  return worst.finite();
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
