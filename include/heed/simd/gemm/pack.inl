// Part of kernels.inl: rows of any strides and types in and out of packed form.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// to(r, d) = scale·x(r, d).
template <class T>
bool pack_a(const View<const T, 2>& x, Accum<T> scale, const PackedA<Accum<T>>& a) {
  using R = Accum<T>;
  HEED_ASSERT(a.shape == tile_shape<R> && a.k == x.extent[1]);
  R* to = a.data;
  for (Index r = 0; r < x.extent[0]; ++r, to += x.extent[1]) {
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
  if (x.stride[1] == 1) {
    const Array<T, lanes> zeros = {};
    const T* none = zeros;
    // Else g++ compiles a square for each count, of those zeros: 3 kB.
    asm("" : "+r"(none));
    for (; d + lanes <= x.extent[1]; d += lanes) {
      Array<Vec<R>, lanes> square;
#pragma GCC unroll 16
      for (int c = 0; c < lanes; ++c) {
        square[c] = load_as<R>(c < count ? from + c * x.stride[0] + d : none);
      }
      transpose<R>(square);
#pragma GCC unroll 16
      for (int n = 0; n < lanes; ++n) store(to + (d + n) * nr<R>, square[n]);
    }
  }
  for (; d < x.extent[1]; ++d) {
    store(to + d * nr<R>, load_some_as<R>(from + d * x.stride[1], x.stride[0], count));
  }
}

// b(d, c) = x(c, d), 0 beyond the last row of x up to a whole panel.
template <class T>
bool pack_b_transposed(const View<const T, 2>& x, const PackedB<Accum<T>>& b) {
  using R = Accum<T>;
  constexpr int lanes = vl<R>;
  const auto to = b.in(ConstantShape<tile_shape<R>>{});
  HEED_ASSERT(to.k == x.extent[1] && x.extent[0] <= to.columns);
  const auto keys = static_cast<int>(x.extent[0]);
  const int packed = (keys + nr<R> - 1) / nr<R> * nr<R>;
  View<const T, 2> rest = x;
  for (int first = 0; first < packed; first += lanes, rest.data += lanes * x.stride[0]) {
    R* at = to.panel(first / nr<R>) + first % nr<R>;
    const int left = keys - first;
    if (left > 0) {
      pack_square_rows(rest, left < lanes ? left : lanes, at);
    } else {
      for (Index d = 0; d < x.extent[1]; ++d) store(at + d * nr<R>, Vec<R>{});
    }
  }
  return true;
}

// b(c, d) = x(c, d), 0 beyond the last column of x up to a whole register. Returns whether all of
// them are finite.
template <class T>
bool pack_b(const View<const T, 2>& x, const PackedB<Accum<T>>& b) {
  using R = Accum<T>;
  const auto to = b.in(ConstantShape<tile_shape<R>>{});
  HEED_ASSERT(x.extent[0] <= to.k && x.extent[1] <= to.columns);
  Exponents<R> worst{};
  const Index columns = x.extent[1], step = x.stride[1];
  const Index whole = step == 1 ? columns / nr<R> * nr<R> : 0;  // columns of panels without checks
  for (Index c = 0; c < x.extent[0]; ++c) {
    const T* from = x.data + c * x.stride[0];
    Index d = 0;
    for (R* row = to.data + c * nr<R>; d < whole; row += to.panel(1) - to.data) {
#pragma GCC unroll 16
      for (int n = 0; n < vectors<R>; ++n, d += vl<R>) {
        const Vec<R> v = load_as<R>(from + d);
        store(row + n * vl<R>, v);
        worst.add(v);
      }
    }
    for (Index p = d / nr<R>; d < columns; ++p) {
      R* row = to.panel(p) + c * to.width(p);
      for (const R* end = row + to.width(p); row < end; row += vl<R>, d += vl<R>) {
        const Vec<R> v = load_some_as<R>(from + d * step, step, columns - d);
        store(row, v);
        worst.add(v);
      }
    }
  }
  return worst.finite();
}

// The first `count` numbers of a register at most, `step` apart.
template <class R, class T>
HEED_INLINE void store_some_as(Vec<R> v, T* to, Index step, Index count) {
  if (step == 1 && count >= vl<R>) return store_as<R>(v, to);
  Array<T, vl<R>> some;
  store_as<R>(v, some);
  for (Index n = 0; n < vl<R> && n < count; ++n) to[n * step] = some[n];
}

// x(r, d) = c(first + r, d) · factor[r], rounded once. Returns whether all of them are finite
// before they are rounded. Tiles have any MR.
template <class T>
bool store_rows(const Accumulator<const Accum<T>>& c, Index first, const Accum<T>* factor,
                const View<T, 2>& x) {
  using R = Accum<T>;
  const Accumulator<const R> acc = c;  // whose shape stays in registers
  HEED_ASSERT(acc.shape.nr == nr<R> && x.extent[1] <= acc.columns);
  Exponents<R> worst{};
  const Index columns = x.extent[1], step = x.stride[1];
  const Index whole = step == 1 ? columns / nr<R> * nr<R> : 0;  // as in pack_b
  Index g = first / acc.shape.mr, row = first % acc.shape.mr;
  for (Index r = 0; r < x.extent[0]; ++r) {
    T* to = x.data + r * x.stride[0];
    Index d = 0;
    for (const R* from = acc.tile(g, 0) + row * nr<R>; d < whole; from += acc.shape.mr * nr<R>) {
#pragma GCC unroll 16
      for (int n = 0; n < vectors<R>; ++n, d += vl<R>) {
        const Vec<R> v = load(from + n * vl<R>) * factor[r];
        worst.add(v);
        store_as<R>(v, to + d);
      }
    }
    for (; d < columns; d += vl<R>) {
      const Vec<R> v = load(&acc.tile_at(g, row, d)) * factor[r];
      worst.add(v);
      store_some_as<R>(v, to + d * step, step, columns - d);
    }
    if (++row == acc.shape.mr) row = 0, ++g;
  }
  return worst.finite();
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
