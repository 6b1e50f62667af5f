// Part of kernels.inl: the softmax of a strip, and the exponential it is made of.

// x = 2^(x·unit) for N registers of x ≤ 0, exactly 0 from `lowest` down, 1 for 0, NaN for NaN.
// Several registers go through it side by side: one alone would wait for each of its own steps.
template <class R, int N>
HEED_INLINE void power_of_2(Array<Vec<R>, N>& x, R unit, R lowest) {
  using E = Exp2<R>;
  using Bits = typename Register<BitsOf<R>, width<R>>::type;
  const Vec<R> magic = all<R>(E::magic + E::bias);
  Array<Vec<R>, N> power;
  Array<Vec<R>, N> y;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    x[n] = maximum(all(lowest), x[n]);
    // The low bits of x·unit + magic are the whole part of x·unit + bias: moved up they are that
    // power of 2.
    power[n] = fixed(fma(x[n], all(unit), magic));
    x[n] = fma(x[n], all(unit), fixed(magic - power[n]));
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

// x = 2^x.
template <class R, int N>
HEED_INLINE void exp2(Array<Vec<R>, N>& x) {
  power_of_2<R, N>(x, R(1), Exp2<R>::lowest);
}

// x = e^x. The reduction of its range absorbs the factor log2 e: two sums become multiply-adds. The
// softmax takes 8 to 12 % longer so on Zen 4, which has pipes of its own for sums, 5 % on AVX2:
// less than 1 % of attention; a product before exp2 would take 17 to 26 %. The factor is rounded:
// beside the polynomial's error stands |x|·1.3e-8 for float, |x|·1.4e-17 for double, a fifth or
// less of what rounding x itself is worth.
template <class R, int N>
HEED_INLINE void exp(Array<Vec<R>, N>& x) {
  power_of_2<R, N>(x, Exp2<R>::log2_e, Exp2<R>::lowest_natural);
}

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

// s = exp(s − max) in place, and the sum of each row.
template <class R>
HEED_INLINE void row_weights(R* s, const std::uint8_t* live, int panels, const R* max, R* sum) {
  constexpr int count = abreast<R> * vectors<R>;
  Array<Vec<R>, abreast<R>> sums = {};
  for (int p = 0; p < panels; ++p, s += rows<R> * panel<R>) {
    if (live[p] == 0) continue;
    Array<Vec<R>, count> x;
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) x[n] = load(s + n * width<R>) - all(max[n / vectors<R>]);
    exp<R, count>(x);
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

// acc of one row under a new maximum: times e^by, which is returned.
template <class R>
HEED_INLINE R shrink_row(const Strip<R>& strip, Index row, R by) {
  Array<Vec<R>, 1> shrink = {all(by)};
  exp<R, 1>(shrink);
  for (Index d = 0; d < strip.columns; d += panel<R>) {
    const Index stride = strip.columns - d < panel<R> ? strip.columns - d : panel<R>;
    R* acc = strip.acc + (row / rows<R> * strip.columns + d) * rows<R> + row % rows<R> * stride;
    for (Index n = 0; n < stride; n += width<R>) store(acc + n, load(acc + n) * shrink[0]);
  }
  return shrink[0][0];
}

// The running softmax of a strip of natural logits: scores become weights under the new maximum;
// max, sum and acc follow. Exactly 0 for a score of −inf; NaN for NaN. Rows that are no queries
// keep their state. Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018),
// Algorithm 3.
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
    // In decoding most rows of the only group are no queries.
    const Index left = strip.queries - group * rows<R>;
    const int real = left < rows<R> ? static_cast<int>(left) : rows<R>;
    for (int r = 0; r < real; r += abreast<R>) {
      row_maxima(s + r * panel<R>, live, strip.panels, running_max + r, max + r);
    }
    for (int r = 0; r < real; r += abreast<R>) {
      row_weights(s + r * panel<R>, live, strip.panels, max + r, sum + r);
    }
    for (int r = 0; r < real; ++r) {
      if (max[r] > running_max[r]) {
        if (running_sum[r] != R(0)) {  // else nothing was seen, and acc is 0
          running_sum[r] *= shrink_row(strip, group * rows<R> + r, running_max[r] - max[r]);
        }
        running_max[r] = max[r];
      }
      running_sum[r] += sum[r];
    }
  }
}

// log2 of a positive number; NaN for NaN.
HEED_INLINE Vec<float> log2(Vec<float> x) {
  using Signed = typename Register<std::int32_t, width<float>>::type;
  constexpr auto half_root = __builtin_bit_cast(std::int32_t, Log2::half_root);
  const Signed exponent = ((Signed)x - half_root) >> 23;
  const Vec<float> t = (Vec<float>)((Signed)x - (exponent << 23)) - 1.0F;
  Vec<float> y = all(Log2::polynomial[0]);
#pragma GCC unroll 16
  for (int k = 1; k < Log2::terms; ++k) y = fma(y, t, all(Log2::polynomial[k]));
  y = fma(y, t, __builtin_convertvector(exponent, Vec<float>));
  return fma(x, Vec<float>{}, y);
}
HEED_INLINE Vec<double> log2(Vec<double> x) {
  for (int n = 0; n < width<double>; ++n) x[n] = __builtin_log2(x[n]);
  return x;
}

// What is left of rows when all keys are done: their maxima become the log-sum-exp, in natural log,
// −inf for a row that saw no key; their sums the factors of the weighted values, 0 there.
template <class R>
void close_rows(R* max, R* sum, Index count) {
  constexpr R ln_2 = static_cast<R>(0.693147180559945309417232121458L);
  using Bits = typename Register<BitsOf<R>, width<R>>::type;
  for (Index first = 0; first < count; first += width<R>) {
    const Index left = count - first;
    const Vec<R> sums = widen_some<R>(sum + first, 1, left);
    const auto blind = sums == Vec<R>{};
    const auto lone = sums == all(R(1));  // -ffast-math divides less exactly
    const Vec<R> lse = fma(log2(sums), all(ln_2), widen_some<R>(max + first, 1, left));
    const Vec<R> closed = (Vec<R>)(blind ? Bits{} + masked_bits<R> : (Bits)lse);
    const Vec<R> factor = (Vec<R>)(blind ? Bits{} : (Bits)(lone ? sums : R(1) / sums));
    for (Index n = 0; n < left && n < width<R>; ++n) {
      max[first + n] = closed[n];
      sum[first + n] = factor[n];
    }
  }
}
