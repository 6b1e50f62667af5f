// Part of kernels.inl: erf, tanh and the activations made of them, several registers side by side.
#if __INCLUDE_LEVEL__ == 0  // opened alone, as in an editor
#define HEED_ALONE portable
#include "heed/simd/target/alone.inl"
#endif

// y = polynomial(x), highest power first.
template <class R, int N, std::size_t Terms>
HEED_INLINE void polynomial(const R (&terms)[Terms], const Array<Vec<R>, N>& x,
                            Array<Vec<R>, N>& y) {
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) y[n] = fma(broadcast<R>(terms[0]), x[n], broadcast<R>(terms[1]));
#pragma GCC unroll 32
  for (std::size_t k = 2; k < Terms; ++k) {
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) y[n] = fma(y[n], x[n], broadcast<R>(terms[k]));
  }
}

// A register of R as bits, and its sign alone.
template <class R>
using BitsVec = typename Register<BitsOf<R>, vl<R>>::type;
template <class R>
inline constexpr BitsOf<R> sign_bit = BitsOf<R>{1} << (8 * sizeof(R) - 1);

template <class R>
HEED_INLINE Vec<R> magnitude(Vec<R> x) {
  return (Vec<R>)((BitsVec<R>)x & ~sign_bit<R>);
}

// |size| with the sign of x.
template <class R>
HEED_INLINE Vec<R> with_sign(Vec<R> size, Vec<R> x) {
  return (Vec<R>)(((BitsVec<R>)size & ~sign_bit<R>) | ((BitsVec<R>)x & sign_bit<R>));
}

// x = erf(x). NaN stays NaN.
template <class R, int N>
HEED_INLINE void erf(Array<Vec<R>, N>& x) {
  using E = Erf<R>;
  Array<Vec<R>, N> t, near, far;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) t[n] = -maximum(broadcast<R>(-E::end), -magnitude<R>(x[n])) - R(1);
  polynomial<R, N>(E::far, t, far);
  exp2<R, N>(far);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) t[n] = x[n] * x[n];
  polynomial<R, N>(E::near, t, near);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    const Vec<R> size = t[n] <= broadcast<R>(1) ? fma(near[n], x[n], x[n]) : R(1) - far[n];
    x[n] = with_sign<R>(size, x[n]);
  }
}

// x = tanh(x). NaN stays NaN.
template <class R, int N>
HEED_INLINE void tanh(Array<Vec<R>, N>& x) {
  constexpr R minus_two_log2e = static_cast<R>(-2.885390081777926814719849362L);
  Array<Vec<R>, N> t, near;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) t[n] = x[n] * x[n];
  polynomial<R, N>(Tanh<R>::near, t, near);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    near[n] = fma(near[n], x[n], x[n]);
    t[n] = magnitude<R>(x[n]) * minus_two_log2e;
  }
  exp2<R, N>(t);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    const Vec<R> beyond = R(1) - R(2) * t[n] / (R(1) + t[n]);
    x[n] = with_sign<R>(magnitude<R>(x[n]) <= broadcast<R>(R(0.625)) ? near[n] : beyond, x[n]);
  }
}

// Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016), section 2.
template <class R, int N>
HEED_INLINE void gelu(Array<Vec<R>, N>& x) {
  constexpr R half_sqrt2 = static_cast<R>(0.707106781186547524400844362L);
  Array<Vec<R>, N> y;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) y[n] = x[n] * half_sqrt2;
  erf<R, N>(y);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    const Vec<R> half = R(0.5) * x[n];
    x[n] = fma(half, y[n], half);
  }
}

// The same, its approximation by tanh.
template <class R, int N>
HEED_INLINE void gelu_tanh(Array<Vec<R>, N>& x) {
  constexpr R slope = static_cast<R>(0.797884560802865355879892119L);
  Array<Vec<R>, N> y;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n)
    y[n] = slope * x[n] * fma(x[n] * x[n], broadcast<R>(R(0.044715)), broadcast<R>(1));
  tanh<R, N>(y);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    const Vec<R> half = R(0.5) * x[n];
    x[n] = fma(half, y[n], half);
  }
}

// y = 1 / (1 + e^−x), of e^−|x|, which does not overflow.
template <class R, int N>
HEED_INLINE void sigmoid(const Array<Vec<R>, N>& x, Array<Vec<R>, N>& y) {
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) y[n] = -magnitude<R>(x[n]);
  exp<R, N>(y);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    y[n] = (x[n] < Vec<R>{} ? y[n] : broadcast<R>(1)) / (R(1) + y[n]);
  }
}

// Hendrycks and Gimpel (2016), section 2; Ramachandran et al., "Searching for Activation
// Functions" (2017), call it Swish.
template <class R, int N>
HEED_INLINE void silu(Array<Vec<R>, N>& x) {
  Array<Vec<R>, N> sigma;
  sigmoid<R, N>(x, sigma);
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) x[n] *= sigma[n];
}

template <class R, int N>
HEED_INLINE void activate(Activation activation, Array<Vec<R>, N>& x) {
  if (activation == Activation::erf) erf<R, N>(x);
  if (activation == Activation::tanh) tanh<R, N>(x);
  if (activation == Activation::gelu) gelu<R, N>(x);
  if (activation == Activation::gelu_tanh) gelu_tanh<R, N>(x);
  if (activation == Activation::silu) silu<R, N>(x);
  if (activation != Activation::relu) return;
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) x[n] = maximum(Vec<R>{}, x[n]);
}

// x[j] = activation(x[j]), rounded to T once. An element's bits depend on its value alone.
template <class T>
void activate_row(Activation activation, T* x, Index size) {
  using R = Accum<T>;
  constexpr int count = 2, step = count * vl<R>;
  for (Index j = 0; j < size; j += step) {
    const Index left = size - j < step ? size - j : step;
    Array<T, step> some = {};
    T* at = x + j;
    if (left < step) {
      for (Index n = 0; n < left; ++n) some[n] = at[n];
      at = some;
    }
    Array<Vec<R>, count> y;
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) y[n] = load_as<R>(at + n * vl<R>);
    activate<R, count>(activation, y);
#pragma GCC unroll 16
    for (int n = 0; n < count; ++n) store_as<R>(y[n], at + n * vl<R>);
    for (Index n = 0; at == some && n < left; ++n) x[j + n] = some[n];
  }
}

#if __INCLUDE_LEVEL__ == 0
#include "heed/simd/target/alone_end.inl"
#endif
