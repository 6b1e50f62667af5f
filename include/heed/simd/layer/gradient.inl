// Part of kernels.inl: the derivatives of activations, and the gradient of a normalised row.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// y = e^(−power·x²).
template <class R, int N>
HEED_INLINE void bell(const Array<Vec<R>, N>& x, R power, Array<Vec<R>, N>& y) {
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) y[n] = x[n] * x[n] * -power;
  exp<R, N>(y);
}

// forward: y = x·Φ(x); so: dy/dx = Φ(x) + x·φ(x).
template <class R, int N>
HEED_INLINE void gelu_derivative(Array<Vec<R>, N>& x) {
  constexpr R half_sqrt2 = static_cast<R>(0.707106781186547524400844362L);
  constexpr R inverse_sqrt_2pi = static_cast<R>(0.398942280401432677939946060L);
  Array<Vec<R>, N> phi, y;
  bell<R, N>(x, R(0.5), phi);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) y[n] = x[n] * half_sqrt2;
  erf<R, N>(y);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    x[n] =
        fma(x[n], phi[n] * inverse_sqrt_2pi, fma(broadcast<R>(R(0.5)), y[n], broadcast<R>(R(0.5))));
  }
}

// forward: y = 0.5·x·(1 + t), t = tanh(u), u = slope·(x + c·x³);
// so: dy/dx = 0.5·(1 + t) + 0.5·x·(1 − t²)·slope·(1 + 3c·x²).
template <class R, int N>
HEED_INLINE void gelu_tanh_derivative(Array<Vec<R>, N>& x) {
  constexpr R slope = static_cast<R>(0.797884560802865355879892119L);
  Array<Vec<R>, N> t;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n)
    t[n] = slope * x[n] * fma(x[n] * x[n], broadcast<R>(R(0.044715)), broadcast<R>(1));
  tanh<R, N>(t);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    const Vec<R> inner = slope * fma(x[n] * x[n], broadcast<R>(R(0.134145)), broadcast<R>(1));
    const Vec<R> of_tanh = x[n] * (R(1) - t[n] * t[n]) * inner;
    x[n] = R(0.5) * (R(1) + t[n] + of_tanh);
  }
}

// forward: y = x·σ(x); so: dy/dx = σ + x·σ·(1 − σ).
template <class R, int N>
HEED_INLINE void silu_derivative(Array<Vec<R>, N>& x) {
  Array<Vec<R>, N> sigma;
  sigmoid<R, N>(x, sigma);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) x[n] = sigma[n] * fma(x[n], R(1) - sigma[n], broadcast<R>(1));
}

// x = the activation's derivative at x.
template <class R, int N>
HEED_INLINE void differentiate(Activation activation, Array<Vec<R>, N>& x) {
  if (activation == Activation::gelu) return gelu_derivative<R, N>(x);
  if (activation == Activation::gelu_tanh) return gelu_tanh_derivative<R, N>(x);
  if (activation == Activation::silu) return silu_derivative<R, N>(x);
  if (activation == Activation::tanh) tanh<R, N>(x);
  if (activation == Activation::erf) bell<R, N>(x, R(1), x);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    const Vec<R> one = broadcast<R>(1);
    if (activation == Activation::none) x[n] = one;
    if (activation == Activation::relu) x[n] = x[n] > Vec<R>{} ? one : Vec<R>{};
    if (activation == Activation::tanh) x[n] = one - x[n] * x[n];
    if (activation == Activation::erf) x[n] *= static_cast<R>(1.12837916709551257389615890312L);
  }
}

// d[j] *= activation'(x[j]), rounded to T once. x are the values before the activation.
template <class T>
void activation_gradient_row(Activation activation, const T* x, T* d, Index size) {
  using R = Accum<T>;
  constexpr int count = 2, step = count * vl<R>;
  for (Index j = 0; j < size; j += step) {
    const Index left = size - j < step ? size - j : step;
    Array<T, step> some_x = {}, some_d = {};
    for (Index n = 0; left < step && n < left; ++n) some_x[n] = x[j + n], some_d[n] = d[j + n];
    const T* from = left < step ? some_x : x + j;
    T* to = left < step ? some_d : d + j;
    Array<Vec<R>, count> slope;
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) slope[n] = load_as<R>(from + n * vl<R>);
    differentiate<R, count>(activation, slope);
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) {
      store_as<R>(slope[n] * load_as<R>(to + n * vl<R>), to + n * vl<R>);
    }
    for (Index n = 0; left < step && n < left; ++n) d[j + n] = some_d[n];
  }
}

// Up to mr columns of x [k, columns] side by side; 0 behind the last column.
template <class T>
HEED_INLINE void pack_column_tile(const View<const T, 2>& x, Accum<T>* tile) {
  using R = Accum<T>;
  const T* from = x.data;
  for (Index k = 0; k < x.extent[0]; ++k, from += x.stride[0], tile += mr<R>) {
    if (std::is_same_v<T, R> && x.stride[1] == 1 && x.extent[1] >= mr<R>) {
      __builtin_memcpy(tile, from, sizeof(R) * mr<R>);
    } else {
      for (Index r = 0; r < mr<R>; ++r) {
        tile[r] = r < x.extent[1] ? static_cast<R>(from[r * x.stride[1]]) : R(0);
      }
    }
  }
}

// Columns of x [K, columns] become rows of `to`, of which mr stand side by side, `depth_block` of K
// a block; 0 behind the last column. Eight of K at a time fill whole cache lines: the tiles of one
// k lie at strides that share few sets of the caches.
template <class T>
void pack_columns(const View<const T, 2>& x, const BlockedA<Accum<T>>& to) {
  using R = Accum<T>;
  HEED_ASSERT(x.extent[0] == to.k && x.extent[1] <= to.rows && to.rows % mr<R> == 0);
  for (Index begin = 0; begin < to.k; begin += depth_block<R>) {
    const Index left = to.k - begin, length = left < depth_block<R> ? left : depth_block<R>;
    for (Index k = 0; k < length; k += 8) {
      const Index count = length - k < 8 ? length - k : 8;
      R* tile = to.block(begin) + k * mr<R>;
      for (Index c = 0; c < x.extent[1]; c += mr<R>, tile += mr<R> * length) {
        pack_column_tile<T>({x.data + (begin + k) * x.stride[0] + c * x.stride[1],
                             {count, x.extent[1] - c},
                             {x.stride[0], x.stride[1]}},
                            tile);
      }
    }
  }
}

// sums[j] += Σ_n x(n, j), in R = double, a parameter because nvcc mistakes Array<Vec<double>, n>
// for no type; the rows n in ascending order.
template <class T, class R>
void add_columns(const View<const T, 2>& x, R* sums) {
  constexpr int count = 4, step = count * vl<R>;
  Index j = 0;
  for (; x.stride[1] == 1 && j + step <= x.extent[1]; j += step) {
    Array<Vec<R>, count> sum;
#pragma GCC unroll 16
    for (int c = 0; c < count; ++c) sum[c] = load(sums + j + c * vl<R>);
    const T* from = x.data + j;
    for (Index n = 0; n < x.extent[0]; ++n, from += x.stride[0]) {
#pragma GCC unroll 16
      for (int c = 0; c < count; ++c) sum[c] += doubles(from, c * vl<R>);
    }
#pragma GCC unroll 16
    for (int c = 0; c < count; ++c) store(sums + j + c * vl<R>, sum[c]);
  }
  for (; j < x.extent[1]; ++j) {
    for (Index n = 0; n < x.extent[0]; ++n) {
      sums[j] += static_cast<double>(x.data[n * x.stride[0] + j * x.stride[1]]);
    }
  }
}

// The gradient of normalise_row. forward: y = x̂·weight + bias, x̂ = (x − mean)·factor; so, with
// g = dy·weight: dx = factor·(g − ⟨g⟩ − x̂·⟨g·x̂⟩), d_weight += dy·x̂, d_bias += dy. Without the
// centre, mean and ⟨g⟩ are 0. In double; sums in the eight lanes of row_sum.
//   d  in: dy, out: dx
template <class T>
void normalise_gradient_row(Norm norm, const T* x, T* d, Index size, const T* weight, double eps,
                            double* d_weight, double* d_bias) {
  const double n = static_cast<double>(size);
  const bool centred = norm == Norm::layer;
  const double mean = centred ? row_sum<false>(x, size, 0.0) / n : 0.0;
  const double factor = 1 / __builtin_sqrt(row_sum<true>(x, size, mean) / n + eps);
  Array<Vec<double>, parts> g = {}, gx = {};
  Index j = 0;
  for (; j + 8 <= size; j += 8) {
#pragma GCC unroll 4
    for (int p = 0; p < parts; ++p) {
      const Index at = j + p * vl<double>;
      const Vec<double> dy = doubles(d, at), unit = (doubles(x, at) - mean) * factor;
      const Vec<double> part = dy * doubles(weight, at);
      g[p] += part;
      gx[p] = fma(part, unit, gx[p]);
      store(d_weight + at, fma(dy, unit, load(d_weight + at)));
      store(d_bias + at, load(d_bias + at) + dy);
    }
  }
  for (Index lane = 0; j < size; ++j, ++lane) {
    const double dy = static_cast<double>(d[j]);
    const double unit = (static_cast<double>(x[j]) - mean) * factor;
    const double part = dy * static_cast<double>(weight[j]);
    g[lane / vl<double>][lane % vl<double>] += part;
    gx[lane / vl<double>][lane % vl<double>] += part * unit;
    d_weight[j] += dy * unit;
    d_bias[j] += dy;
  }
  double of_g = 0, of_gx = 0;
  for (int lane = 0; lane < 8; ++lane) {
    of_g += g[lane / vl<double>][lane % vl<double>];
    of_gx += gx[lane / vl<double>][lane % vl<double>];
  }
  of_g = centred ? of_g / n : 0.0;
  of_gx /= n;
  j = 0;
  if constexpr (std::is_same_v<T, Accum<T>>) {
    for (; j + vl<double> <= size; j += vl<double>) {
      const Vec<double> unit = (doubles(x, j) - mean) * factor;
      const Vec<double> rest = doubles(d, j) * doubles(weight, j) - of_g - unit * of_gx;
      *reinterpret_cast<typename Part<T>::unaligned*>(d + j) =
          __builtin_convertvector(rest * factor, typename Part<T>::type);
    }
  }
  for (; j < size; ++j) {
    const double unit = (static_cast<double>(x[j]) - mean) * factor;
    const double part = static_cast<double>(d[j]) * static_cast<double>(weight[j]);
    d[j] = static_cast<T>(factor * (part - of_g - unit * of_gx));
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
