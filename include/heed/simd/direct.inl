// Part of kernels.inl: the two products for a few queries, as in decoding. Keys and values are read
// once, where they lie: packing them would cost as much as all that is done with them.

// Rows are asked for this far ahead of their use; where caches are full of other work, the
// machine's own guess comes too late. Into the second cache: the first has room for too few misses
// at once (Zen 4, 64 MiB of keys and values: 16 rows ahead into the first 9.5 GB/s, 32 ahead into
// the second 13.5, with every line of wide values 19.5).
inline constexpr int prefetched_rows = 32;

template <class T>
HEED_INLINE void prefetch(const T* row, Index stride) {
  __builtin_prefetch(row + prefetched_rows * stride, 0, 2);
}

// Whether register n of a run that starts with a line starts with another one.
template <class T>
constexpr bool begins_line(int n) {
  constexpr int line = 64;
  return n * width<Accum<T>> * static_cast<int>(sizeof(T)) % line == 0;
}

// A cell of a strip: the rows of it that are real, the keys of the block that it is about.
struct DirectCell {
  int rows, begin, end;
};

// s[r][c] = Σ_d q[r][d]·k(c, d) for Rows queries and Keys keys, as far as d fills whole registers;
// sums of lanes, then of the register.
template <int Rows, int Keys, class T>
HEED_INLINE void dots_block(const View<const T, 2>& k, int first, const Accum<T>* q, Accum<T>* s) {
  using R = Accum<T>;
  const Index D = k.extent[1];
  Array<Array<Vec<R>, Keys>, Rows> acc = {};
  for (Index d = 0; d + width<R> <= D; d += width<R>) {
    Array<Vec<R>, Keys> key;
#pragma GCC unroll 16
    for (int c = 0; c < Keys; ++c) {
      const T* from = k.data + (first + c) * k.stride[0] + d;
      prefetch(from, k.stride[0]);
      key[c] = widen<R>(from);
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
  add_lanes<R, count>(lanes);
  Array<R, (count > width<R> ? count : width<R>)> sums;
#pragma GCC unroll 16
  for (int n = 0; n * width<R> < count; ++n) store(sums + n * width<R>, lanes[n]);
#pragma GCC unroll 16
  for (int n = 0; n < count; ++n) s[n / Keys * panel<R> + n % Keys] = sums[sum_of<R, count>(n)];
}

// What dots_block leaves out of every row's scores: the last D mod width numbers.
template <class T>
void add_tails(const View<const T, 2>& k, DirectCell cell, const Accum<T>* q, Accum<T>* s) {
  using R = Accum<T>;
  const Index D = k.extent[1];
  const Index tail = D % width<R>;
  for (int r = 0; tail != 0 && r < cell.rows; ++r, s += panel<R>) {
    const Vec<R> query = widen_some<R>(q + (r + 1) * D - tail, 1, tail);
    for (int c = cell.begin; c < cell.end; ++c) {
      const T* key = k.data + c * k.stride[0] + D - tail;
      s[c - cell.begin] += total<R>(query * widen_some<R>(key, 1, tail))[0];
    }
  }
}

// acc[r][d] += Σ_c p[r][c]·v(c, d), Rows queries, N registers of columns from `column` on; only a
// single one may be cut off by the last column.
//   place(r, d)  where column d of query r lies among the weighted values
template <int Rows, int N, class T, class Place>
HEED_INLINE void accumulate_block(const View<const T, 2>& v, DirectCell cell, Index column,
                                  const Accum<T>* p, const Place& place) {
  using R = Accum<T>;
  Array<Array<Vec<R>, N>, Rows> sum;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) sum[r][n] = load(place(r, column + n * width<R>));
  }
  for (int c = cell.begin; c < cell.end; ++c) {
    const T* from = v.data + c * v.stride[0] + column;
    Array<Vec<R>, N> value;
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) {
      if (begins_line<T>(n)) prefetch(from + n * width<R>, v.stride[0]);
      value[n] =
          N == 1 ? widen_some<R>(from, 1, v.extent[1] - column) : widen<R>(from + n * width<R>);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec<R> weight = all(p[r * panel<R> + c - cell.begin]);
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) sum[r][n] = fma(weight, value[n], sum[r][n]);
    }
  }
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) store(place(r, column + n * width<R>), sum[r][n]);
  }
}

// job.run<Rows>(row) for 4, 2 or 1 rows at a time.
template <class Job>
HEED_INLINE void run_rows(const Job& job) {
  int row = 0;
  for (; row + 4 <= job.cell.rows; row += 4) job.template run<4>(row);
  if (row + 2 <= job.cell.rows) {
    job.template run<2>(row);
    row += 2;
  }
  if (row < job.cell.rows) job.template run<1>(row);
}

template <class T>
struct DotsDirect {
  using R = Accum<T>;
  const View<const T, 2>& k;
  DirectCell cell;
  const R* q;
  R* scores;

  template <int Rows>
  HEED_INLINE void run(int row) const {
    constexpr int abreast_keys = 8 / Rows;
    const R* query = q + row * k.extent[1];
    R* s = scores + row * panel<R>;
    int c = cell.begin;
    for (; c + abreast_keys <= cell.end; c += abreast_keys, s += abreast_keys) {
      dots_block<Rows, abreast_keys>(k, c, query, s);
    }
    for (; c < cell.end; ++c, ++s) dots_block<Rows, 1>(k, c, query, s);
  }
};

template <class T>
struct AccumulateDirect {
  using R = Accum<T>;
  const View<const T, 2>& v;
  DirectCell cell;
  const R* weights;
  Index columns;
  R* acc;

  // Eight sums wait for each other least.
  template <int Rows>
  HEED_INLINE void run(int row) const {
    constexpr int abreast_registers = 8 / Rows;
    const R* p = weights + row * panel<R>;
    const auto place = [&](int r, Index d) { return acc + geometry<R>.place(row + r, d, columns); };
    Index d = 0;
    for (; d + abreast_registers * width<R> <= v.extent[1]; d += abreast_registers * width<R>) {
      accumulate_block<Rows, abreast_registers>(v, cell, d, p, place);
    }
    for (; d < v.extent[1]; d += width<R>) accumulate_block<Rows, 1>(v, cell, d, p, place);
  }
};

template <class R>
HEED_INLINE DirectCell direct_cell(const Strip<R>& strip, int group, int at) {
  const int left = strip.queries - group * rows<R>;
  const int begin = at * panel<R>;
  const int end = begin + panel<R>;
  return {left < rows<R> ? left : rows<R>, begin, end < strip.keys ? end : strip.keys};
}

// dots with the keys where they lie, k(c, d) contiguous in d; strip.queries rows are real.
template <class T>
void dots_direct(const Strip<Accum<T>>& strip, const View<const T, 2>& k) {
  using R = Accum<T>;
  for (int g = 0; g < strip.groups; ++g) {
    const R* q = strip.q + g * rows<R> * strip.D;
    for (int p = 0; p < strip.panels; ++p) {
      const Index at = Index{g} * strip.panels + p;
      if (strip.live[at] == 0) continue;
      R* scores = strip.scores + at * rows<R> * panel<R>;
      const DirectCell here = direct_cell(strip, g, p);
      run_rows(DotsDirect<T>{k, here, q, scores});
      add_tails(k, here, q, scores);
    }
  }
}

// Whether no score of a live cell is −inf: real rows, keys that exist.
template <class R>
bool all_seen(const Strip<R>& strip) {
  using Bits = typename Register<BitsOf<R>, width<R>>::type;
  Bits hidden{};
  bool some = false;
  for (int g = 0; g < strip.groups; ++g) {
    for (int p = 0; p < strip.panels; ++p) {
      const Index at = Index{g} * strip.panels + p;
      if (strip.live[at] == 0) continue;
      const DirectCell here = direct_cell(strip, g, p);
      const int keys = here.end - here.begin;
      const R* s = strip.scores + at * rows<R> * panel<R>;
      for (int r = 0; r < here.rows; ++r, s += panel<R>) {
        int c = 0;
        for (; c + width<R> <= keys; c += width<R>) {
          hidden |= (Bits)((Bits)load(s + c) == masked_bits<R>);
        }
        for (; c < keys; ++c) some |= is_masked(s[c]);
      }
    }
  }
  for (int n = 0; n < width<R>; ++n) some |= hidden[n] != 0;
  return !some;
}

// accumulate with the values where they lie, v(c, d) contiguous in d.
template <class T>
void accumulate_direct(const Strip<Accum<T>>& strip, const View<const T, 2>& v) {
  using R = Accum<T>;
  for (int g = 0; g < strip.groups; ++g) {
    R* acc = strip.acc + g * strip.columns * rows<R>;
    for (int p = 0; p < strip.panels; ++p) {
      const Index at = Index{g} * strip.panels + p;
      if (strip.live[at] == 0) continue;
      const R* weights = strip.scores + at * rows<R> * panel<R>;
      run_rows(AccumulateDirect<T>{v, direct_cell(strip, g, p), weights, strip.columns, acc});
    }
  }
}

// Whether the first `count` rows of x, contiguous in their columns, are finite.
template <class T>
bool all_finite(const View<const T, 2>& x, int count) {
  using R = Accum<T>;
  Exponents<R> worst{};
  for (int c = 0; c < count; ++c) {
    const T* from = x.data + c * x.stride[0];
    Index d = 0;
    for (; d + width<R> <= x.extent[1]; d += width<R>) worst.add(widen<R>(from + d));
    if (d < x.extent[1]) worst.add(widen_some<R>(from + d, 1, x.extent[1] - d));
  }
  return worst.finite();
}
