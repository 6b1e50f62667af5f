// The body of every kernel, included once per instruction set, inside a namespace and a region that
// names its instructions. The includer provides, for R float and double:
//
//   Vec<R>, width<R>                          a register and how many R it holds
//   fma(a, b, c), maximum(a, b)               a·b + c rounded once where the machine can; the larger
//                                             one, b where either is NaN
//   fixed(v)                                  v, opaque to the optimiser (-ffast-math folds x+m−m)
//   from_half(p), to_half(v, p)               width<float> half-precision elements, in and out
//   rows<R>, vectors<R>                       the shape of a cell: rows × vectors registers
//
// Sums run in ascending order of their index in every kernel: a number does not depend on which
// group or cell it is computed in.

template <class R>
inline constexpr int panel = vectors<R>* width<R>;

template <class R>
inline constexpr Geometry geometry{rows<R>, panel<R>, width<R>};

template <class R>
HEED_INLINE Vec<R> load(const R* p) {
  return *reinterpret_cast<const typename Register<R, width<R>>::unaligned*>(p);
}

template <class R>
HEED_INLINE void store(R* p, Vec<R> v) {
  *reinterpret_cast<typename Register<R, width<R>>::unaligned*>(p) = v;
}

template <class R>
HEED_INLINE Vec<R> all(R x) {
  return x - Vec<R>{};
}

// v with lanes whose numbers differ in the bit Step exchanged.
template <class R, int Step, std::size_t... J>
HEED_INLINE Vec<R> exchanged(Vec<R> v, std::index_sequence<J...>) {
  return __builtin_shufflevector(v, v, (static_cast<int>(J) ^ Step)...);
}

// The largest lane, in every lane; NaN where one is met late enough.
template <class R, int Step = width<R> / 2>
HEED_INLINE Vec<R> highest(Vec<R> v) {
  v = maximum(v, exchanged<R, Step>(v, std::make_index_sequence<width<R>>{}));
  if constexpr (Step > 1) v = highest<R, Step / 2>(v);
  return v;
}

// The sum of the lanes, in every lane.
template <class R, int Step = width<R> / 2>
HEED_INLINE Vec<R> total(Vec<R> v) {
  v += exchanged<R, Step>(v, std::make_index_sequence<width<R>>{});
  if constexpr (Step > 1) v = total<R, Step / 2>(v);
  return v;
}

// x = 2^x for N registers of x ≤ 0, exactly 0 from Exp2::lowest down, 1 for 0, NaN for NaN. Several
// registers go through it side by side: one alone would wait for each of its own steps.
template <class R, int N>
HEED_INLINE void exp2(Array<Vec<R>, N>& x) {
  using E = Exp2<R>;
  typedef BitsOf<R> Bits __attribute__((vector_size(sizeof(Vec<R>))));
  const Vec<R> magic = all<R>(E::magic + E::bias);
  Array<Vec<R>, N> power;
  Array<Vec<R>, N> y;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    x[n] = maximum(all<R>(E::lowest), x[n]);
    // The low bits of x + magic are the whole part of x + bias: moved up they are that power of 2.
    power[n] = fixed(x[n] + magic);
    x[n] = x[n] - fixed(power[n] - magic);
    power[n] = (Vec<R>)((Bits)power[n] << E::mantissa);
  }
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    y[n] = fma(all<R>(E::polynomial[0]), x[n], all<R>(E::polynomial[1]));
  }
#pragma GCC unroll 16
  for (int k = 2; k < E::terms; ++k) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) y[n] = fma(y[n], x[n], all<R>(E::polynomial[k]));
  }
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) x[n] = y[n] * power[n];
}

// --- The two products ----------------------------------------------------------------------------

// s[r][c] = Σ_d q[r][d]·kt[d][c], one cell.
template <class R>
HEED_INLINE void dots_cell(const R* __restrict q, Index D, const R* __restrict kt,
                           R* __restrict s) {
  Array<Array<Vec<R>, vectors<R>>, rows<R>> acc = {};
#pragma GCC unroll 4
  for (Index d = 0; d < D; ++d, kt += panel<R>) {
    Array<Vec<R>, vectors<R>> b;
#pragma GCC unroll 16
    for (int n = 0; n < vectors<R>; ++n) b[n] = load(kt + n * width<R>);
#pragma GCC unroll 16
    for (int r = 0; r < rows<R>; ++r) {
      const Vec<R> a = all(q[r * D + d]);
#pragma GCC unroll 16
      for (int n = 0; n < vectors<R>; ++n) acc[r][n] = fma(a, b[n], acc[r][n]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < vectors<R>; ++n) store(s + r * panel<R> + n * width<R>, acc[r][n]);
  }
}

// acc[r][d] += Σ_c p[r][c]·v[c][d], one group of queries and a run of keys, N registers of columns.
template <int N, class R>
HEED_INLINE void accumulate_cell(const R* __restrict p, const R* __restrict v, int keys,
                                 R* __restrict acc) {
  constexpr int stride = N * width<R>;
  Array<Array<Vec<R>, N>, rows<R>> sum;
#pragma GCC unroll 16
  for (int r = 0; r < rows<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) sum[r][n] = load(acc + r * stride + n * width<R>);
  }
  for (; keys > 0; keys -= panel<R>, p += rows<R> * panel<R>) {
    const int count = keys < panel<R> ? keys : panel<R>;
#pragma GCC unroll 4
    for (int c = 0; c < count; ++c, v += stride) {
      Array<Vec<R>, N> b;
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) b[n] = load(v + n * width<R>);
#pragma GCC unroll 16
      for (int r = 0; r < rows<R>; ++r) {
        const Vec<R> a = all(p[r * panel<R> + c]);
#pragma GCC unroll 16
        for (int n = 0; n < N; ++n) sum[r][n] = fma(a, b[n], sum[r][n]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) store(acc + r * stride + n * width<R>, sum[r][n]);
  }
}

// scores = q kᵀ, every live cell. A panel of keys stays in the first cache while all groups use it.
template <class R>
void dots(const Strip<R>& strip) {
  constexpr int cell = rows<R> * panel<R>;
  for (int p = 0; p < strip.panels; ++p) {
    for (int g = 0; g < strip.groups; ++g) {
      const Index at = Index{g} * strip.panels + p;
      if (strip.live[at] == 0) continue;
      dots_cell(strip.q + g * rows<R> * strip.D, strip.D, strip.kt + p * strip.D * panel<R>,
                strip.scores + at * cell);
    }
  }
}

// acc of one group and one panel of columns, over every run of live cells.
template <int N, class R>
HEED_INLINE void accumulate_group(const Strip<R>& strip, int group, const R* v, R* acc) {
  constexpr int cell = rows<R> * panel<R>;
  const std::uint8_t* live = strip.live + Index{group} * strip.panels;
  const R* p = strip.scores + Index{group} * strip.panels * cell;
  for (int begin = 0; begin < strip.panels; ++begin) {
    if (live[begin] == 0) continue;
    int end = begin + 1;
    while (end < strip.panels && live[end] != 0) ++end;
    const int last = end * panel<R> < strip.keys ? end * panel<R> : strip.keys;
    accumulate_cell<N>(p + Index{begin} * cell, v + Index{begin} * panel<R> * (N * width<R>),
                       last - begin * panel<R>, acc);
    begin = end;
  }
}

// acc += weights · v. A panel of values stays in the first cache while all groups use it.
template <class R>
void accumulate(const Strip<R>& strip) {
  for (Index d = 0; d < strip.columns; d += panel<R>) {
    const R* v = strip.v + d * strip.capacity;
    const Index registers = (strip.columns - d) / width<R>;
    for (int g = 0; g < strip.groups; ++g) {
      R* acc = strip.acc + (g * strip.columns + d) * rows<R>;
      if (registers >= vectors<R>) {
        accumulate_group<vectors<R>>(strip, g, v, acc);
      } else if (registers == 1) {
        accumulate_group<1>(strip, g, v, acc);
      } else if constexpr (vectors<R> > 2) {
        if (registers == 2) accumulate_group<2>(strip, g, v, acc);
        if (registers == 3) accumulate_group<3>(strip, g, v, acc);
      }
    }
  }
}

// --- The softmax of a strip ----------------------------------------------------------------------

// Rows that go through the softmax side by side: enough to have four registers in flight.
template <class R>
inline constexpr int abreast = vectors<R> >= 4 ? 1 : 4 / vectors<R>;

// The largest score of each row, `before` among them.
template <class R>
HEED_INLINE void row_maxima(const R* s, const std::uint8_t* live, int panels, const R* before,
                            R* after) {
  Array<Array<Vec<R>, vectors<R>>, abreast<R>> high;
#pragma GCC unroll 16
  for (int r = 0; r < abreast<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < vectors<R>; ++n) high[r][n] = all(before[r]);
  }
  for (int p = 0; p < panels; ++p, s += rows<R> * panel<R>) {
    if (live[p] == 0) continue;
#pragma GCC unroll 16
    for (int r = 0; r < abreast<R>; ++r) {
#pragma GCC unroll 16
      for (int n = 0; n < vectors<R>; ++n) {
        high[r][n] = maximum(load(s + r * panel<R> + n * width<R>), high[r][n]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < abreast<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 1; n < vectors<R>; ++n) high[r][0] = maximum(high[r][n], high[r][0]);
    after[r] = highest<R>(high[r][0])[0];
  }
}

// s = exp2(s − max) in place, and the sum of each row.
template <class R>
HEED_INLINE void row_weights(R* s, const std::uint8_t* live, int panels, const R* max, R* sum) {
  constexpr int count = abreast<R> * vectors<R>;
  Array<Vec<R>, abreast<R>> sums = {};
  for (int p = 0; p < panels; ++p, s += rows<R> * panel<R>) {
    if (live[p] == 0) continue;
    Array<Vec<R>, count> x;
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) x[n] = load(s + n * width<R>) - all(max[n / vectors<R>]);
    exp2<R, count>(x);
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) store(s + n * width<R>, x[n]);
#pragma GCC unroll 16
    for (int r = 0; r < abreast<R>; ++r) {
      Vec<R> all_of_row = x[r * vectors<R>];
#pragma GCC unroll 16
      for (int n = 1; n < vectors<R>; ++n) all_of_row += x[r * vectors<R> + n];
      sums[r] += all_of_row;
    }
  }
  for (int r = 0; r < abreast<R>; ++r) sum[r] = total<R>(sums[r])[0];
}

// acc of one row under a new maximum: times 2^by, which is returned.
template <class R>
HEED_INLINE R shrink_row(const Strip<R>& strip, Index row, R by) {
  Array<Vec<R>, 1> shrink = {all(by)};
  exp2<R, 1>(shrink);
  for (Index d = 0; d < strip.columns; d += panel<R>) {
    const Index stride = strip.columns - d < panel<R> ? strip.columns - d : panel<R>;
    R* acc = strip.acc + (row / rows<R> * strip.columns + d) * rows<R> + row % rows<R> * stride;
    for (Index n = 0; n < stride; n += width<R>) store(acc + n, load(acc + n) * shrink[0]);
  }
  return shrink[0][0];
}

// The running softmax of a strip, in base 2: scores become weights under the new maximum; max, sum
// and acc follow. Exactly 0 for a score of −inf; NaN for NaN.
// Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018), Algorithm 3.
template <class R>
void softmax(const Strip<R>& strip) {
  static_assert(rows<R> % abreast<R> == 0);
  Array<R, rows<R>> max;
  Array<R, rows<R>> sum;
  for (Index group = 0; group < strip.groups; ++group) {
    const std::uint8_t* live = strip.live + group * strip.panels;
    R* s = strip.scores + group * strip.panels * rows<R> * panel<R>;
    R* running_max = strip.max + group * rows<R>;
    R* running_sum = strip.sum + group * rows<R>;
    for (int r = 0; r < rows<R>; r += abreast<R>) {
      row_maxima(s + r * panel<R>, live, strip.panels, running_max + r, max + r);
    }
    for (int r = 0; r < rows<R>; r += abreast<R>) {
      row_weights(s + r * panel<R>, live, strip.panels, max + r, sum + r);
    }
    for (int r = 0; r < rows<R>; ++r) {
      if (max[r] > running_max[r]) {
        running_sum[r] *= shrink_row(strip, group * rows<R> + r, running_max[r] - max[r]);
        running_max[r] = max[r];
      }
      running_sum[r] += sum[r];
    }
  }
}

// --- In and out ----------------------------------------------------------------------------------

// width<R> elements of any type as R.
template <class R, class T>
HEED_INLINE Vec<R> widen(const T* from) {
  if constexpr (std::is_same_v<R, T>) {
    return load(from);
  } else if constexpr (Element<T>::format == Format::bfloat16) {
    using Short = Register<std::uint16_t, width<R>>;
    typedef std::uint32_t Bits __attribute__((vector_size(sizeof(Vec<R>))));
    const auto upper = *reinterpret_cast<const typename Short::unaligned*>(from);
    return (Vec<R>)(__builtin_convertvector(upper, Bits) << 16);
  } else {
    return from_half(from);
  }
}

// Rounds to nearest, ties to even; NaN stays NaN.
template <class R, class T>
HEED_INLINE void narrow(Vec<R> v, T* to) {
  if constexpr (std::is_same_v<R, T>) {
    store(to, v);
  } else if constexpr (Element<T>::format == Format::bfloat16) {
    using Short = Register<std::uint16_t, width<R>>;
    typedef std::uint32_t Bits __attribute__((vector_size(sizeof(Vec<R>))));
    const Bits bits = (Bits)v;
    const Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const Bits quiet = (bits >> 16) | 0x40u;
    const Bits chosen = (bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded;
    *reinterpret_cast<typename Short::unaligned*>(to) =
        __builtin_convertvector(chosen, typename Short::type);
  } else {
    to_half(v, to);
  }
}

// `count` ≤ width elements, the rest 0.
template <class R, class T>
HEED_INLINE Vec<R> widen_some(const T* from, Index step, Index count) {
  if (step == 1 && count >= width<R>) return widen<R>(from);
  Array<T, width<R>> some = {};
  for (Index n = 0; n < count && n < width<R>; ++n) some[n] = from[n * step];
  return widen<R>(some);
}

// to[r][d] = scale·x(r, d), `count` rows.
template <class T>
void load_rows(const View<const T, 2>& x, int count, Accum<T> scale, Accum<T>* to) {
  using R = Accum<T>;
  for (int r = 0; r < count; ++r, to += x.extent[1]) {
    const T* from = x.data + r * x.stride[0];
    Index d = 0;
    for (; d + width<R> <= x.extent[1]; d += width<R>) {
      store(to + d, scale * widen_some<R>(from + d * x.stride[1], x.stride[1], width<R>));
    }
    for (; d < x.extent[1]; ++d) to[d] = scale * static_cast<R>(from[d * x.stride[1]]);
  }
}

template <class R, int Step, std::size_t... J>
HEED_INLINE void exchange(Vec<R>& a, Vec<R>& b, std::index_sequence<J...>) {
  constexpr int W = width<R>;
  const Vec<R> low = __builtin_shufflevector(
      a, b, ((J & Step) == 0 ? static_cast<int>(J) : W + static_cast<int>(J) - Step)...);
  b = __builtin_shufflevector(
      a, b, ((J & Step) == 0 ? static_cast<int>(J) + Step : W + static_cast<int>(J))...);
  a = low;
}

// Turns a square of registers: blocks of Step × Step change places, then smaller ones.
template <class R, int Step = width<R> / 2>
HEED_INLINE void transpose(Array<Vec<R>, width<R>>& x) {
#pragma GCC unroll 16
  for (int i = 0; i < width<R>; ++i) {
    if ((i & Step) == 0) {
      exchange<R, Step>(x[i], x[i + Step], std::make_index_sequence<width<R>>{});
    }
  }
  if constexpr (Step > 1) transpose<R, Step / 2>(x);
}

// to[d][c] = x(c, d) for width<R> keys, `count` of them real, the rest 0; rows of `to` a panel apart.
template <class T>
HEED_INLINE void pack_square_rows(const View<const T, 2>& x, int count, Accum<T>* to) {
  using R = Accum<T>;
  constexpr int W = width<R>;
  const T* from = x.data;
  Index d = 0;
  if (count == W && x.stride[1] == 1) {
    for (; d + W <= x.extent[1]; d += W) {
      Array<Vec<R>, W> square;
#pragma GCC unroll 16
      for (int c = 0; c < W; ++c) square[c] = widen<R>(from + c * x.stride[0] + d);
      transpose<R>(square);
#pragma GCC unroll 16
      for (int n = 0; n < W; ++n) store(to + (d + n) * panel<R>, square[n]);
    }
  }
  for (; d < x.extent[1]; ++d) {
    store(to + d * panel<R>, widen_some<R>(from + d * x.stride[1], x.stride[0], count));
  }
}

// Packs keys for dots: to[p][d][c] = x(p · panel + c, d), 0 beyond the last key.
template <class T>
void pack_keys(const View<const T, 2>& x, int keys, Accum<T>* to) {
  using R = Accum<T>;
  constexpr int W = width<R>;
  const int packed = (keys + panel<R> - 1) / panel<R> * panel<R>;
  View<const T, 2> rest = x;
  for (int first = 0; first < packed; first += W, rest.data += W * x.stride[0]) {
    R* at = to + (first / panel<R>)*x.extent[1] * panel<R> + first % panel<R>;
    const int left = keys - first;
    if (left > 0) {
      pack_square_rows(rest, left < W ? left : W, at);
    } else {
      for (Index d = 0; d < x.extent[1]; ++d) store(at + d * panel<R>, Vec<R>{});
    }
  }
}

// Packs values for accumulate: to[p][c][d] = x(c, p · panel + d), 0 beyond the last column.
// Returns whether all of them are finite.
template <class T>
bool pack_values(const View<const T, 2>& x, int keys, Index capacity, Accum<T>* to) {
  using R = Accum<T>;
  using Signed = SignedBitsOf<R>;
  typedef Signed Bits __attribute__((vector_size(sizeof(Vec<R>))));
  constexpr Signed exponent = static_cast<Signed>(Exp2<R>::bias * 2 + 1) << Exp2<R>::mantissa;
  Bits worst = {};
  for (int c = 0; c < keys; ++c) {
    const T* from = x.data + c * x.stride[0];
    for (Index d = 0; d < x.extent[1]; d += panel<R>) {
      const Index left = x.extent[1] - d;
      const Index registers = left >= panel<R> ? vectors<R> : (left + width<R> - 1) / width<R>;
      R* row = to + d * capacity + c * registers * width<R>;
      for (Index n = 0; n < registers; ++n) {
        const Index at = d + n * width<R>;
        const Vec<R> v = widen_some<R>(from + at * x.stride[1], x.stride[1],
                                       x.extent[1] - at);
        store(row + n * width<R>, v);
        const Bits size = (Bits)v & exponent;
        worst = size > worst ? size : worst;
      }
    }
  }
  for (int n = 0; n < width<R>; ++n) {
    if (worst[n] == exponent) return false;
  }
  return true;
}

// x(r, d) = acc[first + r][d] · factor[r], rounded once; `count` rows of one group.
template <class T>
void store_rows(const Accum<T>* acc, Index columns, int first, const Accum<T>* factor, int count,
                const View<T, 2>& x) {
  using R = Accum<T>;
  constexpr int W = width<R>;
  for (int r = 0; r < count; ++r) {
    T* to = x.data + r * x.stride[0];
    for (Index d = 0; d < x.extent[1]; d += W) {
      const Index begin = d / panel<R> * panel<R>;
      const Index stride = columns - begin < panel<R> ? columns - begin : panel<R>;
      const Vec<R> v = load(acc + begin * rows<R> + (first + r) * stride + d - begin) * factor[r];
      if (x.stride[1] == 1 && d + W <= x.extent[1]) {
        narrow<R>(v, to + d);
      } else {
        Array<T, W> some;
        narrow<R>(v, some);
        for (Index n = 0; n < W && d + n < x.extent[1]; ++n) to[(d + n) * x.stride[1]] = some[n];
      }
    }
  }
}

// Lets a caller's functor rewrite a cell: compiled here, so that it is vectorised for this
// instruction set.
template <class R, class F, class Tile>
void rewrite(const F& f, R* cell, const Tile& tile) {
  f.template operator()<panel<R>>(cell, tile);
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
      for (Index n = 0; n < stride; ++n) acc[n] += strip.scores[at] * v[n];
    }
  }
}

template <class T>
inline constexpr Kernels<T> table{geometry<Accum<T>>, &load_rows<T>,         &pack_keys<T>,
                                  &pack_values<T>,    &dots<Accum<T>>,       &softmax<Accum<T>>,
                                  &accumulate<Accum<T>>, &accumulate_seen<Accum<T>>,
                                  &store_rows<T>};
