// Part of kernels.inl: the two products for a few queries, as in decoding. Keys and values are read
// once, where they lie: packing them would cost as much as all that is done with them.

// How far ahead of its use a row is asked for; where caches are full of other work, the machine's
// own guess comes too late.
inline constexpr int prefetched_rows = 16;

// s[r][c] = Σ_d q[r][d]·k(c, d) for Rows queries and Keys keys; sums of lanes, then of the
// register.
template <int Rows, int Keys, class T>
HEED_INLINE void dots_block(const View<const T, 2>& k, int first, const Accum<T>* q, Accum<T>* s) {
  using R = Accum<T>;
  const Index D = k.extent[1];
  Array<Array<Vec<R>, Keys>, Rows> acc = {};
  for (Index d = 0; d < D; d += width<R>) {
    const bool whole = d + width<R> <= D;
    Array<Vec<R>, Keys> key;
#pragma GCC unroll 16
    for (int c = 0; c < Keys; ++c) {
      const T* from = k.data + (first + c) * k.stride[0] + d;
      __builtin_prefetch(from + prefetched_rows * k.stride[0]);
      key[c] = whole ? widen<R>(from) : widen_some<R>(from, 1, D - d);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec<R> query = whole ? load(q + r * D + d) : widen_some<R>(q + r * D + d, 1, D - d);
#pragma GCC unroll 16
      for (int c = 0; c < Keys; ++c) acc[r][c] = fma(query, key[c], acc[r][c]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < Keys; ++c) s[r * panel<R> + c] = total<R>(acc[r][c])[0];
  }
}

template <int Rows, class T>
HEED_INLINE void dots_direct_rows(const View<const T, 2>& k, int begin, int end, const Accum<T>* q,
                                  Accum<T>* s) {
  constexpr int abreast_keys = 8 / Rows;
  int c = begin;
  for (; c + abreast_keys <= end; c += abreast_keys) {
    dots_block<Rows, abreast_keys>(k, c, q, s + c - begin);
  }
  for (; c < end; ++c) dots_block<Rows, 1>(k, c, q, s + c - begin);
}

// acc[r][d] += Σ_c p[r][c]·v(c, d), Rows queries, N registers of columns from `column` on.
template <int Rows, int N, class T>
HEED_INLINE void accumulate_block(const View<const T, 2>& v, int begin, int end, Index column,
                                  const Accum<T>* p, Index stride, Accum<T>* acc) {
  using R = Accum<T>;
  Array<Array<Vec<R>, N>, Rows> sum;
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) sum[r][n] = load(acc + r * stride + n * width<R>);
  }
  const bool whole = column + N * width<R> <= v.extent[1];
  for (int c = begin; c < end; ++c) {
    const T* from = v.data + c * v.stride[0] + column;
    __builtin_prefetch(from + prefetched_rows * v.stride[0]);
    Array<Vec<R>, N> value;
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) {
      const Index left = v.extent[1] - column - n * width<R>;
      value[n] =
          whole ? widen<R>(from + n * width<R>) : widen_some<R>(from + n * width<R>, 1, left);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec<R> weight = all(p[r * panel<R> + c - begin]);
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) sum[r][n] = fma(weight, value[n], sum[r][n]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) store(acc + r * stride + n * width<R>, sum[r][n]);
  }
}

template <int Rows, class T>
HEED_INLINE void accumulate_direct_rows(const View<const T, 2>& v, int begin, int end,
                                        const Accum<T>* p, Index columns, int row, Accum<T>* acc) {
  using R = Accum<T>;
  for (Index d = 0; d < columns; d += panel<R>) {
    const Index stride = columns - d < panel<R> ? columns - d : panel<R>;
    R* at = acc + d * rows<R> + row * stride;
    Index n = 0;
    for (; n + 2 * width<R> <= stride; n += 2 * width<R>) {
      accumulate_block<Rows, 2>(v, begin, end, d + n, p, stride, at + n);
    }
    if (n < stride) accumulate_block<Rows, 1>(v, begin, end, d + n, p, stride, at + n);
  }
}

// dots with the keys where they lie, k(c, d) contiguous in d; strip.queries rows are real.
template <class T>
void dots_direct(const Strip<Accum<T>>& strip, const View<const T, 2>& k) {
  using R = Accum<T>;
  for (int g = 0; g < strip.groups; ++g) {
    const int left = strip.queries - g * rows<R>;
    for (int p = 0; p < strip.panels; ++p) {
      const Index at = Index{g} * strip.panels + p;
      if (strip.live[at] == 0) continue;
      const int begin = p * panel<R>;
      const int end = begin + panel<R> < strip.keys ? begin + panel<R> : strip.keys;
      R* s = strip.scores + at * rows<R> * panel<R>;
      const R* q = strip.q + g * rows<R> * strip.D;
      int r = 0;
      const int count = left < rows<R> ? left : rows<R>;
      for (; r + 4 <= count; r += 4) {
        dots_direct_rows<4>(k, begin, end, q + r * strip.D, s + r * panel<R>);
      }
      for (; r + 2 <= count; r += 2) {
        dots_direct_rows<2>(k, begin, end, q + r * strip.D, s + r * panel<R>);
      }
      if (r < count) dots_direct_rows<1>(k, begin, end, q + r * strip.D, s + r * panel<R>);
    }
  }
}

// accumulate with the values where they lie, v(c, d) contiguous in d.
template <class T>
void accumulate_direct(const Strip<Accum<T>>& strip, const View<const T, 2>& v) {
  using R = Accum<T>;
  for (int g = 0; g < strip.groups; ++g) {
    const int left = strip.queries - g * rows<R>;
    R* acc = strip.acc + g * strip.columns * rows<R>;
    for (int p = 0; p < strip.panels; ++p) {
      const Index at = Index{g} * strip.panels + p;
      if (strip.live[at] == 0) continue;
      const int begin = p * panel<R>;
      const int end = begin + panel<R> < strip.keys ? begin + panel<R> : strip.keys;
      const R* w = strip.scores + at * rows<R> * panel<R>;
      int r = 0;
      const int count = left < rows<R> ? left : rows<R>;
      for (; r + 4 <= count; r += 4) {
        accumulate_direct_rows<4>(v, begin, end, w + r * panel<R>, strip.columns, r, acc);
      }
      for (; r + 2 <= count; r += 2) {
        accumulate_direct_rows<2>(v, begin, end, w + r * panel<R>, strip.columns, r, acc);
      }
      if (r < count) {
        accumulate_direct_rows<1>(v, begin, end, w + r * panel<R>, strip.columns, r, acc);
      }
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
