// Part of kernels.inl: the online softmax, and its exponential.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// x = 2^(x·unit) for N registers of x ≤ 0, exactly 0 from `lowest` down, 1 for 0, NaN for NaN.
// Several registers go through it side by side: one alone would wait for each of its own steps.
template <class R, int N>
HEED_INLINE void power_of_2(Array<Vec<R>, N>& x, R unit, R lowest) {
  using E = Exp2<R>;
  using Bits = typename Register<BitsOf<R>, vl<R>>::type;
  const Vec<R> magic = broadcast<R>(E::magic + E::bias);
  Array<Vec<R>, N> power;
  Array<Vec<R>, N> y;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    x[n] = maximum(broadcast(lowest), x[n]);
    // The low bits of x·unit + magic are the whole part of x·unit + bias: moved up they are that
    // power of 2.
    power[n] = opaque(fma(x[n], broadcast(unit), magic));
    x[n] = fma(x[n], broadcast(unit), opaque(magic - power[n]));
    power[n] = (Vec<R>)((Bits)power[n] << E::mantissa);
  }
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    y[n] = fma(broadcast<R>(E::polynomial[0]), x[n], broadcast<R>(E::polynomial[1]));
  }
#pragma GCC unroll 16
  for (int k = 2; k < E::terms; ++k) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) y[n] = fma(y[n], x[n], broadcast<R>(E::polynomial[k]));
  }
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) x[n] = y[n] * power[n];
}

// x = 2^x.
template <class R, int N>
HEED_INLINE void exp2(Array<Vec<R>, N>& x) {
  power_of_2<R, N>(x, R(1), Exp2<R>::lowest);
}

// x = e^x. The reduction of its range absorbs the factor log2 e: two sums become multiply-adds. The
// softmax takes up to 13 % longer so on Zen 4, which has pipes of its own for sums, 6 % on AVX2; a
// product before exp2 would take 17 to 26 %. The factor is rounded: beside the polynomial's error
// stands |x|·1.3e-8 for float, |x|·1.4e-17 for double, a fifth or less of what rounding x itself is
// worth.
template <class R, int N>
HEED_INLINE void exp(Array<Vec<R>, N>& x) {
  power_of_2<R, N>(x, Exp2<R>::log2_e, Exp2<R>::lowest_natural);
}

// Rows that are interleaved in the softmax: four registers in flight hide the latency of exp.
template <class R>
inline constexpr int interleave = vectors<R> >= 4 ? 1 : 4 / vectors<R>;

// The largest score of each row, `before` among them.
template <class R>
HEED_INLINE void row_max(const R* s, const std::uint8_t* coverage, int panels, const R* before,
                         R* after) {
  Array<Array<Vec<R>, vectors<R>>, interleave<R>> high;
#pragma GCC unroll 16
  for (int r = 0; r < interleave<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 0; n < vectors<R>; ++n) high[r][n] = broadcast(before[r]);
  }
  for (int p = 0; p < panels; ++p, s += mr<R> * nr<R>) {
    if (coverage[p] == 0) continue;
#pragma GCC unroll 16
    for (int r = 0; r < interleave<R>; ++r) {
#pragma GCC unroll 16
      for (int n = 0; n < vectors<R>; ++n) {
        high[r][n] = maximum(load(s + r * nr<R> + n * vl<R>), high[r][n]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < interleave<R>; ++r) {
#pragma GCC unroll 16
    for (int n = 1; n < vectors<R>; ++n) high[r][0] = maximum(high[r][n], high[r][0]);
    after[r] = reduce_max<R>(high[r][0])[0];
  }
}

// s = exp(s − max) in place, and the sum of each row.
template <class R>
HEED_INLINE void row_exp(R* s, const std::uint8_t* coverage, int panels, const R* max, R* sum) {
  constexpr int count = interleave<R> * vectors<R>;
  Array<Vec<R>, interleave<R>> sums = {};
  for (int p = 0; p < panels; ++p, s += mr<R> * nr<R>) {
    if (coverage[p] == 0) continue;
    Array<Vec<R>, count> x;
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) x[n] = load(s + n * vl<R>) - broadcast(max[n / vectors<R>]);
    exp<R, count>(x);
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) store(s + n * vl<R>, x[n]);
#pragma GCC unroll 16
    for (int r = 0; r < interleave<R>; ++r) {
      Vec<R> all_of_row = x[r * vectors<R>];
#pragma GCC unroll 16
      for (int n = 1; n < vectors<R>; ++n) all_of_row += x[r * vectors<R> + n];
      sums[r] += all_of_row;
    }
  }
  for (int r = 0; r < interleave<R>; ++r) sum[r] = reduce_add<R>(sums[r])[0];
}

// Rescales the accumulator of one row when its maximum rises: times e^by, which is returned.
template <class R, class Shape>
HEED_INLINE R rescale_row(const Accumulator<R, Shape>& acc, Index row, R by) {
  Array<Vec<R>, 1> shrink = {broadcast(by)};
  exp<R, 1>(shrink);
  for (Index p = 0; p < acc.panels(); ++p) {
    R* o = acc.row(row, p);
    for (Index n = 0; n < acc.width(p); n += vl<R>) store(o + n, load(o + n) * shrink[0]);
  }
  return shrink[0][0];
}

// The running softmax of natural logits: scores become weights under the new maximum, and the state
// of their rows follows. Exactly 0 for a score of −inf; NaN for NaN. Rows that are no
// queries keep their state. Milakov and Gimelshein, "Online normalizer calculation for softmax"
// (2018), Algorithm 3.
template <class R>
void softmax(const ScoreTiles<R>& of_rows, const RowState<R>& state) {
  static_assert(mr<R> % interleave<R> == 0);
  constexpr ConstantShape<tile_shape<R>> shape;
  const auto scores = of_rows.in(shape);
  const auto acc = state.acc.in(shape);
  Array<R, mr<R>> max;
  Array<R, mr<R>> sum;
  for (Index g = 0; g < scores.m_tiles; ++g) {
    const std::uint8_t* coverage = scores.coverage + g * scores.panels;
    R* s = scores.tile(g, 0);
    R* running_max = state.max + g * mr<R>;
    R* running_sum = state.sum + g * mr<R>;
    // In decoding most rows of the only row tile are no queries.
    const Index left = scores.rows - g * mr<R>;
    const int real = left < mr<R> ? static_cast<int>(left) : mr<R>;
    for (int r = 0; r < real; r += interleave<R>) {
      row_max(s + r * nr<R>, coverage, scores.panels, running_max + r, max + r);
    }
    for (int r = 0; r < real; r += interleave<R>) {
      row_exp(s + r * nr<R>, coverage, scores.panels, max + r, sum + r);
    }
    for (int r = 0; r < real; ++r) {
      if (max[r] > running_max[r]) {
        if (running_sum[r] != R(0)) {  // else nothing was seen, and acc is 0
          running_sum[r] *= rescale_row(acc, g * mr<R> + r, running_max[r] - max[r]);
        }
        running_max[r] = max[r];
      }
      running_sum[r] += sum[r];
    }
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
