// Part of kernels.inl: rows of any strides and types in and out of packed form.

// to[r][d] = scale·x(r, d), `count` rows.
template <class T>
bool pack_a(const View<const T, 2>& x, int count, Accum<T> scale, Accum<T>* to) {
  using R = Accum<T>;
  for (int r = 0; r < count; ++r, to += x.extent[1]) {
    const T* from = x.data + r * x.stride[0];
    Index d = 0;
    for (; d + vl<R> <= x.extent[1]; d += vl<R>) {
      store(to + d, scale * load_some_as<R>(from + d * x.stride[1], x.stride[1], vl<R>));
    }
    for (; d < x.extent[1]; ++d) to[d] = scale * static_cast<R>(from[d * x.stride[1]]);
  }
  return true;
}

// Turns a square of registers: blocks of Step × Step change places, then smaller ones.
template <class R, int Step = vl<R> / 2>
HEED_INLINE void transpose(Array<Vec<R>, vl<R>>& x) {
#pragma GCC unroll 16
  for (int i = 0; i < vl<R>; ++i) {
    if ((i & Step) == 0) {
      swap_blocks<R, Step>(x[i], x[i + Step], std::make_index_sequence<vl<R>>{});
    }
  }
  if constexpr (Step > 1) transpose<R, Step / 2>(x);
}

// to[d][c] = x(c, d) for vl<R> keys, `count` of them real, the rest 0; rows of `to` a panel
// apart.
template <class T>
HEED_INLINE void pack_square_rows(const View<const T, 2>& x, int count, Accum<T>* to) {
  using R = Accum<T>;
  constexpr int lanes = vl<R>;
  const T* from = x.data;
  Index d = 0;
  if (count == lanes && x.stride[1] == 1) {
    for (; d + lanes <= x.extent[1]; d += lanes) {
      Array<Vec<R>, lanes> square;
#pragma GCC unroll 16
      for (int c = 0; c < lanes; ++c) square[c] = load_as<R>(from + c * x.stride[0] + d);
      transpose<R>(square);
#pragma GCC unroll 16
      for (int n = 0; n < lanes; ++n) store(to + (d + n) * nr<R>, square[n]);
    }
  }
  for (; d < x.extent[1]; ++d) {
    store(to + d * nr<R>, load_some_as<R>(from + d * x.stride[1], x.stride[0], count));
  }
}

// Packs keys for qk: to[p][d][c] = x(p · panel + c, d), 0 beyond the last key.
template <class T>
bool pack_b_transposed(const View<const T, 2>& x, int keys, Accum<T>* to) {
  using R = Accum<T>;
  constexpr int lanes = vl<R>;
  const int packed = (keys + nr<R> - 1) / nr<R> * nr<R>;
  View<const T, 2> rest = x;
  for (int first = 0; first < packed; first += lanes, rest.data += lanes * x.stride[0]) {
    R* at = to + (first / nr<R>)*x.extent[1] * nr<R> + first % nr<R>;
    const int left = keys - first;
    if (left > 0) {
      pack_square_rows(rest, left < lanes ? left : lanes, at);
    } else {
      for (Index d = 0; d < x.extent[1]; ++d) store(at + d * nr<R>, Vec<R>{});
    }
  }
  return true;
}

// Packs values for accumulate: to[p][c][d] = x(c, p · panel + d), 0 beyond the last column.
// Returns whether all of them are finite.
template <class T>
bool pack_b(const View<const T, 2>& x, int keys, Index capacity, Accum<T>* to) {
  using R = Accum<T>;
  Exponents<R> worst{};
  for (int c = 0; c < keys; ++c) {
    const T* from = x.data + c * x.stride[0];
    for (Index d = 0; d < x.extent[1]; d += nr<R>) {
      const Index left = x.extent[1] - d;
      const Index registers = left >= nr<R> ? vectors<R> : (left + vl<R> - 1) / vl<R>;
      R* row = to + d * capacity + c * registers * vl<R>;
      for (Index n = 0; n < registers; ++n) {
        const Index at = d + n * vl<R>;
        const Vec<R> v = load_some_as<R>(from + at * x.stride[1], x.stride[1], x.extent[1] - at);
        store(row + n * vl<R>, v);
        worst.add(v);
      }
    }
  }
  return worst.finite();
}

// x(r, d) = acc[first + r][d] · factor[r], rounded once; `count` rows of one row tile. Returns
// whether all of them are finite before they are rounded.
template <class T>
bool store_rows(const Accum<T>* acc, Index columns, int first, const Accum<T>* factor, int count,
                const View<T, 2>& x) {
  using R = Accum<T>;
  constexpr int lanes = vl<R>;
  Exponents<R> worst{};
  for (int r = 0; r < count; ++r) {
    T* to = x.data + r * x.stride[0];
    for (Index d = 0; d < x.extent[1]; d += lanes) {
      const Index begin = d / nr<R> * nr<R>;
      const Index stride = columns - begin < nr<R> ? columns - begin : nr<R>;
      const Vec<R> v = load(acc + begin * mr<R> + (first + r) * stride + d - begin) * factor[r];
      worst.add(v);
      if (x.stride[1] == 1 && d + lanes <= x.extent[1]) {
        store_as<R>(v, to + d);
      } else {
        Array<T, lanes> some;
        store_as<R>(v, some);
        for (Index n = 0; n < lanes && d + n < x.extent[1]; ++n)
          to[(d + n) * x.stride[1]] = some[n];
      }
    }
  }
  return worst.finite();
}
