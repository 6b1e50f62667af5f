// The product and the activations of nn's layers, in every set of kernels.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include "heed/core/eigen.hpp"
#include "heed/core/random.hpp"
#include "simd/tables.hpp"
#include "support/catch.hpp"
#include "support/sweep.hpp"

namespace simd = heed::simd;
using heed::Accum;
using heed::Index;
using heed::test::Table;
using heed::test::tables;
using simd::Activation;

namespace {

// Every body of layers, those that round operands too.
template <class T>
heed::test::Tables<T> layer_tables() {
  auto all = tables<T>();
  for (const Table<T>& table : heed::test::rounded_tables<T>()) all.push_back(table);
  return all;
}

template <class R>
std::vector<R> poisoned(Index size) {
  return std::vector<R>(static_cast<std::size_t>(size), std::numeric_limits<R>::quiet_NaN());
}

template <class T>
std::vector<T> numbers(Index size, std::uint32_t stream) {
  std::vector<T> x;
  for (Index n = 0; n < size; ++n) {
    const auto word = heed::philox(7, {static_cast<std::uint32_t>(n), stream, 0, 0})[0];
    x.push_back(static_cast<T>(static_cast<float>(word / 2147483648.0 - 1)));
  }
  return x;
}

// Numbers that the kernels' products leave as they are.
template <class T>
std::vector<T> operands(const simd::LayerKernels<T>& kernels, Index size, std::uint32_t stream) {
  auto x = numbers<T>(size, stream);
  if (kernels.rounding) kernels.rounding->round(x.data(), size);
  return x;
}

// y [M, N] = x [M, K] Wᵀ + bias by the kernels, all scratch NaN before; `step` apart in y.
template <class T>
std::vector<T> product(const simd::LayerKernels<T>& kernels, Index M, Index K, Index N,
                       const std::vector<T>& x, const heed::View<const T, 2>& w, const T* bias,
                       Index step) {
  const Index panel = kernels.tile_shape.nr;
  const Index room = kernels.tile_shape.m_tiles(M) * kernels.tile_shape.mr;
  auto packed_x = poisoned<Accum<T>>(room * K + 1);
  const Index width = kernels.tile_shape.panels(N) * panel;
  auto packed_w = poisoned<Accum<T>>(width * K + 1);
  auto sums = poisoned<Accum<T>>(room * panel + 1);
  const simd::BlockedA<Accum<T>> a{packed_x.data(), room, K};
  const simd::PackedB<Accum<T>> b{packed_w.data(), K, width, kernels.tile_shape};
  std::vector<T> y(static_cast<std::size_t>(M * N * step), T(7));
  std::vector<T*> rows;
  kernels.pack_rows({x.data(), {M, K}, {K, 1}}, 0, a);
  for (Index m = 0; m < M; ++m) rows.push_back(y.data() + m * N * step);
  for (Index p = 0; p < b.panels(); ++p) {
    const Index first = p * panel, columns = std::min(panel, N - first);
    kernels.pack_weight(heed::slice(w, first, columns), b.from_panel(p));
    kernels.multiply(a, M, b.from_panel(p), sums.data());
    const T* shift = bias == nullptr ? nullptr : bias + first;
    kernels.finish(sums.data(), M, {rows.data(), step, first, columns, shift, Activation::none});
  }
  return y;
}

template <class T>
void check_product(const Table<T>& body, Index M, Index K, Index N) {
  const auto x = operands(*body.layers, M * K, 1), w = operands(*body.layers, N * K, 2);
  const auto bias = numbers<T>(N, 3);
  // Column-major, row-major, and with gaps everywhere.
  const auto sparse = operands(*body.layers, N * K * 6, 2);
  const std::vector<heed::View<const T, 2>> weights{
      {w.data(), {N, K}, {1, N}}, {w.data(), {N, K}, {K, 1}}, {sparse.data(), {N, K}, {2, 3 * N}}};
  const double rounding = std::is_same_v<T, double> ? 2.3e-16 : 1.2e-7;
  const double last =
      std::is_same_v<T, Accum<T>> ? 0 : std::ldexp(1.0, std::is_same_v<T, Eigen::half> ? -11 : -8);
  const double least = std::is_same_v<T, Eigen::half> ? std::ldexp(1.0, -25) : 0;  // of a half
  for (const auto& weight : weights) {
    for (const Index step : {1, 3}) {
      const auto y =
          product<T>(*body.layers, M, K, N, x, weight, step == 3 ? nullptr : bias.data(), step);
      bool close = true, untouched = true;
      for (Index m = 0; m < M; ++m) {
        for (Index n = 0; n < N; ++n) {
          double sum = step == 3 ? 0 : static_cast<double>(bias[static_cast<std::size_t>(n)]);
          double size = std::abs(sum);
          for (Index k = 0; k < K; ++k) {
            const double term =
                static_cast<double>(x[static_cast<std::size_t>(m * K + k)]) *
                static_cast<double>(weight.data[n * weight.stride[0] + k * weight.stride[1]]);
            sum += term, size += std::abs(term);
          }
          const T* at = y.data() + (m * N + n) * step;
          const double gap = std::abs(static_cast<double>(at[0]) - sum);
          close = close && gap <= (4 + static_cast<double>(K) / 8) * rounding * size +
                                      last * std::abs(sum) + least;
          for (Index g = 1; g < step; ++g) untouched = untouched && at[g] == T(7);
        }
      }
      INFO(body.name << " M " << M << " K " << K << " N " << N << " step " << step);
      CHECK(close);
      CHECK(untouched);
    }
  }
}

// The largest difference to `exact` in units of its last place; beyond `lowest`, of lowest's.
template <class T, class F>
double worst_ulp(const simd::LayerKernels<T>& kernels, Activation activation, double end,
                 const F& exact) {
  std::vector<T> x;
  const int count = 40001;
  for (int n = 0; n < count; ++n) x.push_back(static_cast<T>(end * (2.0 * n / (count - 1) - 1)));
  for (int e = 1; e < 100; ++e) x.push_back(static_cast<T>(std::ldexp(1.37, -e)));
  auto y = x;
  kernels.activate(activation, y.data(), static_cast<Index>(y.size()));
  double worst = 0;
  for (std::size_t n = 0; n < x.size(); ++n) {
    const long double want = exact(static_cast<long double>(x[n]));
    const T near = std::abs(static_cast<T>(want));
    const long double ulp = std::nextafter(near, std::numeric_limits<T>::infinity()) - near;
    const double off = static_cast<double>(std::abs(static_cast<long double>(y[n]) - want) / ulp);
    if (!(off <= worst)) worst = off;
  }
  return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("layer kernels: the product equals loops in double, for any sizes and strides",
                   "", float, double, Eigen::half, Eigen::bfloat16) {
  heed::test::Sweep sweep;
  for (const auto& body : layer_tables<TestType>()) {
    for (const Index M : {0, 1, 2, 3, 4, 5, 6, 7, 13, 24}) {
      for (const Index K : {0, 1, 5, 16, 59, 391}) {
        for (const Index N : {1, 7, 8, 16, 17, 65, 130}) {
          if (sweep.takes_next()) check_product<TestType>(body, M, K, N);
        }
      }
    }
    check_product<TestType>(body, 7, 1999, 33);
  }
}

TEMPLATE_TEST_CASE("layer kernels: a row's bits do not depend on the rows beside it", "", float,
                   double) {
  const Index K = 801, N = 70, M = 25;
  const auto x = numbers<TestType>(M * K, 1), w = numbers<TestType>(N * K, 2);
  const heed::View<const TestType, 2> weight{w.data(), {N, K}, {1, N}};
  for (const auto& body : layer_tables<TestType>()) {
    const auto all = product<TestType>(*body.layers, M, K, N, x, weight, nullptr, 1);
    for (Index from = 0; from < M; ++from) {
      for (const Index count : {1, 2, 3, 4, 5, 6, 7, 9}) {
        if (from + count > M) continue;
        const std::vector<TestType> some(x.begin() + from * K, x.begin() + (from + count) * K);
        const auto y = product<TestType>(*body.layers, count, K, N, some, weight, nullptr, 1);
        CHECK(std::equal(y.begin(), y.end(), all.begin() + from * N));
      }
    }
  }
}

TEMPLATE_TEST_CASE("layer kernels: erf and tanh within 2 units in the last place", "", float,
                   double) {
#if defined(__FAST_MATH__)  // which divides by an approximate reciprocal
  constexpr long double most = 4;
#else
  constexpr long double most = 2;
#endif
  for (const auto& body : tables<TestType>()) {
    INFO(body.name);
    CHECK(worst_ulp<TestType>(*body.layers, Activation::erf, 7,
                              [](long double x) { return std::erf(x); }) < most);
    CHECK(worst_ulp<TestType>(*body.layers, Activation::tanh, 20,
                              [](long double x) { return std::tanh(x); }) < most);
  }
}

TEMPLATE_TEST_CASE("layer kernels: activations at zero, far out, and on NaN", "", float, double) {
  using Limits = std::numeric_limits<TestType>;
  for (const auto& body : tables<TestType>()) {
    for (const Activation activation : {Activation::erf, Activation::tanh}) {
      std::vector<TestType> x{0, TestType(-0.0), 50, -50, Limits::max(), -Limits::max()};
      body.layers->activate(activation, x.data(), 6);
      const TestType expected[] = {0, 0, 1, -1, 1, -1};
      for (std::size_t n = 0; n < x.size(); ++n) {
#if defined(__FAST_MATH__)
        CHECK(std::abs(x[n] - expected[n]) <= Limits::epsilon());
#else
        CHECK(x[n] == expected[n]);
#endif
      }
#if !defined(__FAST_MATH__)  // which promises no signed zero, infinity or NaN
      CHECK(std::signbit(x[1]));
      std::vector<TestType> far{Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN()};
      body.layers->activate(activation, far.data(), 3);
      CHECK(far[0] == 1);
      CHECK(far[1] == -1);
      CHECK(heed::is_nan(far[2]));
#endif
    }
  }
}

TEMPLATE_TEST_CASE("layer kernels: an element's bits depend on its value alone", "", float, double,
                   Eigen::half, Eigen::bfloat16) {
  const auto x = numbers<TestType>(100, 5);
  for (const auto& body : tables<TestType>()) {
    for (const Activation activation :
         {Activation::erf, Activation::tanh, Activation::relu, Activation::gelu,
          Activation::gelu_tanh, Activation::silu, Activation::none}) {
      auto all = x;
      body.layers->activate(activation, all.data(), 100);
      for (const Index from : {1, 17, 50, 99}) {
        for (const Index count : {1, 3, 8, 16, 33}) {
          auto some = x;
          if (from + count > 100) continue;
          body.layers->activate(activation, some.data() + from, count);
          bool same = true;
          for (Index n = 0; n < 100; ++n) {
            const bool inside = n >= from && n < from + count;
            const auto at = static_cast<std::size_t>(n);
            same = same && some[at] == (inside ? all[at] : x[at]);
          }
          CHECK(same);
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("layer kernels: a normalised row equals loops in double, in every body", "",
                   float, double, Eigen::half, Eigen::bfloat16) {
  const double rounding = std::is_same_v<TestType, double>  ? 1e-14
                          : std::is_same_v<TestType, float> ? 1e-6
                                                            : 0.02;
  for (const Index size : {1, 2, 7, 8, 9, 31, 384}) {
    const auto x = numbers<TestType>(size, 1), weight = numbers<TestType>(size, 2);
    const auto bias = numbers<TestType>(size, 3);
    const double n = static_cast<double>(size);
    double mean = 0, variance = 0;
    for (const TestType value : x) mean += static_cast<double>(value) / n;
    for (const TestType value : x) variance += std::pow(static_cast<double>(value) - mean, 2) / n;
    for (const auto& body : tables<TestType>()) {
      INFO(body.name << " size " << size);
      auto y = x;
      body.layers->normalise(simd::Norm::layer, y.data(), size, weight.data(), bias.data(), 1e-5);
      double worst = 0;
      for (std::size_t j = 0; j < y.size(); ++j) {
        const double exact = (static_cast<double>(x[j]) - mean) / std::sqrt(variance + 1e-5) *
                                 static_cast<double>(weight[j]) +
                             static_cast<double>(bias[j]);
        const double gap = std::abs(static_cast<double>(y[j]) - exact);
        if (!(gap <= worst)) worst = gap;
      }
      CHECK(worst < rounding);
    }
  }
}

TEMPLATE_TEST_CASE("layer kernels: slopes of activations equal differences, in every body", "",
                   float, double) {
  const auto value = [](Activation activation, double x) {
    const double cubic = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    if (activation == Activation::erf) return std::erf(x);
    if (activation == Activation::tanh) return std::tanh(x);
    if (activation == Activation::relu) return x > 0 ? x : 0;
    if (activation == Activation::gelu) return 0.5 * x * (1 + std::erf(x * 0.7071067811865476));
    if (activation == Activation::gelu_tanh) return 0.5 * x * (1 + std::tanh(cubic));
    if (activation == Activation::silu) return x / (1 + std::exp(-x));
    return x;
  };
#if defined(__FAST_MATH__)  // which divides by an approximate reciprocal
  constexpr double most = sizeof(TestType) == 4 ? 4e-6 : 1e-9;
#else
  constexpr double most = sizeof(TestType) == 4 ? 2e-6 : 1e-9;
#endif
  std::vector<TestType> x;
  for (int n = -599; n < 600; n += 2) x.push_back(static_cast<TestType>(n) / 64);
  for (const auto& body : tables<TestType>()) {
    for (const Activation activation :
         {Activation::erf, Activation::tanh, Activation::relu, Activation::gelu,
          Activation::gelu_tanh, Activation::silu, Activation::none}) {
      std::vector<TestType> d(x.size(), TestType(2));
      body.layers->activation_gradient(activation, x.data(), d.data(),
                                       static_cast<Index>(x.size()));
      double worst = 0;
      for (std::size_t n = 0; n < x.size(); ++n) {
        const auto at = static_cast<double>(x[n]);
        const double slope = (value(activation, at + 1e-5) - value(activation, at - 1e-5)) / 2e-5;
        worst = std::max(worst, std::abs(static_cast<double>(d[n]) - 2 * slope));
      }
      INFO(body.name << " activation " << static_cast<int>(activation));
      CHECK(worst < most);
    }
  }
}

TEMPLATE_TEST_CASE("layer kernels: the gradient of a normalised row, in every body", "", float,
                   double) {
  const double rounding = sizeof(TestType) == 4 ? 1e-5 : 1e-12;
  for (const Index size : {1, 7, 8, 9, 31}) {
    const auto x = numbers<TestType>(size, 1), weight = numbers<TestType>(size, 2);
    const auto dy = numbers<TestType>(size, 3);
    for (const simd::Norm norm : {simd::Norm::rms, simd::Norm::layer}) {
      const double n = static_cast<double>(size), layer = norm == simd::Norm::layer ? 1 : 0;
      double mean = 0, square = 0, g = 0, gx = 0;
      for (const auto value : x) mean += layer * static_cast<double>(value) / n;
      for (const auto value : x) square += std::pow(static_cast<double>(value) - mean, 2) / n;
      const double factor = 1 / std::sqrt(square + 1e-5);
      std::vector<double> unit;
      for (std::size_t j = 0; j < x.size(); ++j) {
        unit.push_back((static_cast<double>(x[j]) - mean) * factor);
        const double part = static_cast<double>(dy[j]) * static_cast<double>(weight[j]);
        g += layer * part / n, gx += part * unit[j] / n;
      }
      for (const auto& body : tables<TestType>()) {
        INFO(body.name << " size " << size << " norm " << static_cast<int>(norm));
        auto d = dy;
        std::vector<double> of_weight(x.size(), 1.0), of_bias(x.size(), 2.0);
        body.layers->normalise_gradient(norm, x.data(), d.data(), size, weight.data(), 1e-5,
                                        of_weight.data(), of_bias.data());
        bool close = true;
        for (std::size_t j = 0; j < x.size(); ++j) {
          const double own = static_cast<double>(dy[j]);
          const double part = own * static_cast<double>(weight[j]);
          const double want = factor * (part - g - unit[j] * gx);
          close = close && std::abs(static_cast<double>(d[j]) - want) < rounding * factor &&
                  std::abs(of_weight[j] - (1 + own * unit[j])) < rounding &&
                  std::abs(of_bias[j] - (2 + own)) < rounding;
        }
        CHECK(close);
      }
    }
  }
}

TEMPLATE_TEST_CASE("layer kernels: dropout keeps what Dropout::keeps says, in every body", "",
                   float, double, Eigen::half, Eigen::bfloat16) {
  using R = Accum<TestType>;
  const Index rows = 3, stride = 81;
  auto numbers_of = numbers<TestType>(rows * stride, 4);
  numbers_of[5] = std::numeric_limits<TestType>::quiet_NaN();
  for (const double p : {0.25, 1.0, 1e-11}) {
    const auto dropout = heed::Dropout::of(p, 0xfedcba9876543210u);
    for (const auto& body : tables<TestType>()) {
      for (const auto& [first, columns] :
           {std::pair<std::uint32_t, Index>{0, 80}, {7, 67}, {2, 1}}) {
        auto x = numbers_of;
        body.layers->drop(x.data(), rows, columns, stride, dropout, {first, 9, 3, 5});
        bool equal = true;
        for (Index r = 0; r < rows; ++r) {
          for (Index c = 0; c < stride; ++c) {
            const auto at = static_cast<std::size_t>(r * stride + c);
            const auto i = 9 + static_cast<std::uint32_t>(r);
            const bool kept = dropout.keeps(5, 3, i, first + static_cast<std::uint32_t>(c));
            const auto scaled = static_cast<TestType>(static_cast<R>(numbers_of[at]) *
                                                      static_cast<R>(dropout.keep_scale));
            const TestType want = c >= columns ? numbers_of[at] : kept ? scaled : TestType(0);
            equal = equal && std::memcmp(&x[at], &want, sizeof(TestType)) == 0;
          }
        }
        INFO(body.name << " p " << p << " first " << first << " columns " << columns);
        CHECK(equal);
      }
    }
  }
}

TEMPLATE_TEST_CASE("layer kernels: products and sums over columns, in every body", "", float,
                   double) {
  using T = TestType;
  const double rounding = sizeof(T) == 4 ? 1e-5 : 1e-12;
  for (const auto& body : layer_tables<T>()) {
    const simd::LayerKernels<T>& kernels = *body.layers;
    const simd::TileShape& shape = kernels.tile_shape;
    for (const Index K : {1, 400}) {
      for (const auto& [rows, columns] :
           {std::pair<Index, Index>{1, shape.nr}, {shape.mr + 3, shape.nr - 1}}) {
        INFO(body.name << " K " << K << " rows " << rows << " columns " << columns);
        // c[n][r] += Σ_k x[k][r]·y[k][n], x with neighbours and with gaps.
        const auto y = operands(kernels, K * columns, 2);
        const Index room = shape.m_tiles(rows) * shape.mr;
        for (const Index gap : {1, 2}) {
          const auto x = operands(kernels, K * rows * gap, 1);
          auto packed = poisoned<T>(room * K), b = poisoned<T>(shape.nr * K);
          auto sums = poisoned<T>(room * shape.nr);
          kernels.pack_columns({x.data(), {K, rows}, {rows * gap, gap}}, {packed.data(), room, K});
          const simd::PackedB<T> panel{b.data(), K, shape.nr, shape};
          kernels.pack_weight({y.data(), {columns, K}, {1, columns}}, panel);
          std::vector<T> c(static_cast<std::size_t>(rows * (columns + 1)), T(7));
          kernels.multiply_columns({packed.data(), room, K}, rows, panel, sums.data(), c.data(),
                                   columns + 1, columns);
          bool close = true;
          for (Index r = 0; r < rows; ++r) {
            for (Index n = 0; n <= columns; ++n) {
              double want = 7, size = 7;
              for (Index k = 0; n < columns && k < K; ++k) {
                const double term =
                    static_cast<double>(x[static_cast<std::size_t>((k * rows + r) * gap)]) *
                    static_cast<double>(y[static_cast<std::size_t>(k * columns + n)]);
                want += term, size += std::abs(term);
              }
              const auto at = static_cast<std::size_t>(r * (columns + 1) + n);
              close = close && std::abs(static_cast<double>(c[at]) - want) <= rounding * size;
            }
          }
          CHECK(close);
        }
        for (const Index gap : {1, 2}) {
          std::vector<double> sums(static_cast<std::size_t>(columns), 1.0), want = sums;
          const auto x = numbers<T>(K * columns * gap, 3);
          for (Index k = 0; k < K; ++k) {
            for (Index n = 0; n < columns; ++n) {
              want[static_cast<std::size_t>(n)] +=
                  static_cast<double>(x[static_cast<std::size_t>((k * columns + n) * gap)]);
            }
          }
          kernels.add_columns({x.data(), {K, columns}, {columns * gap, gap}}, sums.data());
          CHECK(sums == want);
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("layer kernels: Adam's step has the bits of the plain loop, in every body", "",
                   float, double) {
  using T = TestType;
  const simd::AdamFactors<T> by{
      T(0.9), T(0.1), T(0.99), T(0.01), T(0.02), T(0.98), T(3e-3), T(1.7), static_cast<T>(1e-8)};
  const Index size = 37;
  const auto p0 = numbers<T>(size, 1), g = numbers<T>(size, 2), m0 = numbers<T>(size, 3);
  auto v0 = numbers<T>(size, 4);
  for (T& v : v0) v = v * v;
#if defined(__FAST_MATH__)  // which divides by an approximate reciprocal
  const T allowed = 4 * std::numeric_limits<T>::epsilon();
#else
  const T allowed = 0;
#endif
  for (const auto& body : tables<T>()) {
    auto p = p0, m = m0, v = v0;
    body.layers->adam(by, p.data(), g.data(), m.data(), v.data(), size);
    bool equal = true;
    double squares = 0;
    for (std::size_t n = 0; n < p.size(); ++n) {
      // volatile: no product is contracted with the sum behind it
      const volatile T decay = p0[n] * by.decay;
      const T slope = g[n] + decay;
      const volatile T old_mean = m0[n] * by.beta1, new_mean = slope * by.rest1;
      const T mean = old_mean + new_mean;
      const volatile T square_of = slope * slope;
      const volatile T old_square = v0[n] * by.beta2, new_square = square_of * by.rest2;
      const T square = old_square + new_square;
      const volatile T root = std::sqrt(square) * by.unbias, kept = p0[n] * by.shrink;
      const T want = kept - mean * by.size / (root + by.eps);
      const T size_of = std::abs(kept) + std::abs(kept - want);
      equal = equal && std::abs(p[n] - want) <= allowed * size_of && m[n] == mean && v[n] == square;
      squares += static_cast<double>(g[n]) * static_cast<double>(g[n]);
    }
    INFO(body.name);
    CHECK(equal);
    CHECK(body.layers->sum_squares(g.data(), size) == Approx(squares).epsilon(1e-14));
  }
}
