// Part of kernels.inl: the two products of attention, q·kᵀ and weights·v.

// How the products of a cell are summed: a number of a register is one element, or the pair of
// neighbours that pairs.inl multiplies at once.
template <class R>
struct Single {
  static constexpr int depth = 1;  // elements of a number

  HEED_INLINE Vec<R> add(Vec<R> a, Vec<R> b, Vec<R> sum) const { return fma(a, b, sum); }
  HEED_INLINE Vec<R> finish(Vec<R> sum) const { return sum; }
};

// s[r][c] = Σ_d q[r][d]·kt[d][c], one cell or only Rows rows and N registers of it. With `more`,
// what s holds comes first in the sum.
template <class R, int Rows = rows<R>, int N = vectors<R>, class Step = Single<R>>
HEED_INLINE void dots_cell(const R* __restrict q, Index D, const R* __restrict kt, R* __restrict s,
                           bool more = false, const Step& step = {}) {
  Array<Array<Vec<R>, N>, Rows> acc = {};
  if (more) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) acc[r][n] = load(s + r * panel<R> + n * width<R>);
    }
  }
#pragma GCC unroll 4
  for (Index d = 0; d < D; ++d, kt += panel<R>) {
    Array<Vec<R>, N> b;
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) b[n] = load(kt + n * width<R>);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec<R> a = all(q[r * D + d]);
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) acc[r][n] = step.add(a, b[n], acc[r][n]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) {
      store(s + r * panel<R> + n * width<R>, step.finish(acc[r][n]));
    }
  }
}

// acc[r][d] += Σ_c p[r][c]·v[c][d], one group of queries and a run of keys (or pairs of them), N
// registers of columns.
template <int N, class R, class Step = Single<R>>
HEED_INLINE void accumulate_cell(const R* __restrict p, const R* __restrict v, int keys,
                                 R* __restrict acc, const Step& step = {}) {
  constexpr int stride = N * width<R>;
  constexpr int most = panel<R> / Step::depth;
  Array<Array<Vec<R>, N>, rows<R>> sum;
#pragma GCC unroll 16
  for (int r = 0; r < rows<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) sum[r][n] = load(acc + r * stride + n * width<R>);
  }
  for (; keys > 0; keys -= most, p += rows<R> * panel<R>) {
    const int count = keys < most ? keys : most;
#pragma GCC unroll 4
    for (int c = 0; c < count; ++c, v += stride) {
      Array<Vec<R>, N> b;
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) b[n] = load(v + n * width<R>);
#pragma GCC unroll 16
      for (int r = 0; r < rows<R>; ++r) {
        const Vec<R> a = all(p[r * panel<R> + c]);
#pragma GCC unroll 16
        for (int n = 0; n < N; ++n) sum[r][n] = step.add(a, b[n], sum[r][n]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) store(acc + r * stride + n * width<R>, sum[r][n]);
  }
}

// Scores of all groups with a panel of keys of which only the first N registers hold keys. It
// stands apart from the other loop, which would run out of registers.
template <int N, class R, class Step>
[[gnu::noinline]] void dots_short_panel(const Strip<R>& strip, int p, const Step& step) {
  constexpr int cell = rows<R> * panel<R>;
  const Index D = (strip.D + Step::depth - 1) / Step::depth;
  for (int g = 0; g < strip.groups; ++g) {
    const Index at = Index{g} * strip.panels + p;
    if (strip.live[at] == 0) continue;
    dots_cell<R, rows<R>, N, Step>(strip.q + g * rows<R> * D, D, strip.kt + p * D * panel<R>,
                                   strip.scores + at * cell, false, step);
  }
}

// scores = q kᵀ, every live cell. A panel of keys stays in the first cache while all groups use it.
// Beyond the last key scores are whatever they were.
template <class R, class Step>
HEED_INLINE void dots_strip(const Strip<R>& strip, const Step& step) {
  constexpr int cell = rows<R> * panel<R>;
  constexpr int half = (vectors<R> + 1) / 2;
  for (int p = 0; p < strip.panels; ++p) {
    if (strip.keys - p * panel<R> <= half * width<R>) return dots_short_panel<half>(strip, p, step);
    for (int g = 0; g < strip.groups; ++g) {
      const Index at = Index{g} * strip.panels + p;
      if (strip.live[at] == 0) continue;
      const Index D = (strip.D + Step::depth - 1) / Step::depth;
      dots_cell<R, rows<R>, vectors<R>, Step>(strip.q + g * rows<R> * D, D,
                                              strip.kt + p * D * panel<R>, strip.scores + at * cell,
                                              false, step);
    }
  }
}

template <class R>
void dots(const Strip<R>& strip) {
  dots_strip(strip, Single<R>{});
}

// acc of one group and one panel of columns, over every run of live cells.
template <int N, class R, class Step>
HEED_INLINE void accumulate_group(const Strip<R>& strip, int group, const R* v, R* acc,
                                  const Step& step) {
  constexpr int depth = Step::depth;
  constexpr int cell = rows<R> * panel<R>;
  const std::uint8_t* live = strip.live + Index{group} * strip.panels;
  const R* p = strip.scores + Index{group} * strip.panels * cell;
  for (int begin = 0; begin < strip.panels; ++begin) {
    if (live[begin] == 0) continue;
    int end = begin + 1;
    while (end < strip.panels && live[end] != 0) ++end;
    const int last = end * panel<R> < strip.keys ? end * panel<R> : strip.keys;
    accumulate_cell<N>(p + Index{begin} * cell,
                       v + Index{begin} * (panel<R> / depth) * (N * width<R>),
                       (last - begin * panel<R> + depth - 1) / depth, acc, step);
    begin = end;
  }
}

// acc += weights · v. A panel of values stays in the first cache while all groups use it.
template <class R, class Step>
HEED_INLINE void accumulate_strip(const Strip<R>& strip, const Step& step) {
  for (Index d = 0; d < strip.columns; d += panel<R>) {
    const R* v = strip.v + d * (strip.capacity / Step::depth);
    const Index registers = (strip.columns - d) / width<R>;
    for (int g = 0; g < strip.groups; ++g) {
      R* acc = strip.acc + (g * strip.columns + d) * rows<R>;
      if (registers >= vectors<R>) {
        accumulate_group<vectors<R>>(strip, g, v, acc, step);
      } else if (registers == 1) {
        accumulate_group<1>(strip, g, v, acc, step);
      } else if constexpr (vectors<R> > 2) {
        if (registers == 2) accumulate_group<2>(strip, g, v, acc, step);
        if (registers == 3) accumulate_group<3>(strip, g, v, acc, step);
      }
    }
  }
}

template <class R>
void accumulate(const Strip<R>& strip) {
  accumulate_strip(strip, Single<R>{});
}

// acc += weights · v where some values are NaN or infinite: keys that a row does not see are left
// out, since 0·inf is not 0.
//   seen  as scores; nonzero where the row sees the key
template <class R>
void accumulate_seen(const Strip<R>& strip, const std::uint8_t* seen) {
  constexpr int cell = rows<R> * panel<R>;
  for (Index at = 0; at < Index{strip.groups} * strip.panels * cell; ++at) {
    const Index where = at / cell;
    const Index group = where / strip.panels;
    const Index key = where % strip.panels * panel<R> + at % panel<R>;
    const Index r = at % cell / panel<R>;
    if (strip.live[where] == 0 || key >= strip.keys || seen[at] == 0) continue;
    for (Index d = 0; d < strip.columns; d += panel<R>) {
      const Index stride = strip.columns - d < panel<R> ? strip.columns - d : panel<R>;
      const R* v = strip.v + d * strip.capacity + key * stride;
      R* acc = strip.acc + (group * strip.columns + d) * rows<R> + r * stride;
      for (Index n = 0; n < stride; n += width<R>) {
        store(acc + n, fma(all(strip.scores[at]), load(v + n), load(acc + n)));
      }
    }
  }
}
