// The nonlinearity of a feed-forward layer. An activation is a callable T -> T, or, to be fast,
// Chunk<T> -> Chunk<T>.
//
// A row is worked through in chunks from its first feature, the last one padded: what an element
// becomes depends on its value and its place in the row, never on the row's address.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <concepts>
#include <numbers>
#include <unsupported/Eigen/CXX11/Tensor>  // erf of an array

#include "heed/core/types.hpp"

namespace heed::nn {

inline constexpr Index chunk_size = 16;  // features; the widest vector of floats

template <class T>
using Chunk = Eigen::Array<T, static_cast<int>(chunk_size), 1>;

// x·Φ(x), exactly: 0.5·x·(1 + erf(x / √2)). Hendrycks and Gimpel, GELU (2016), section 2.
struct Gelu {
  template <class T>
  Chunk<T> operator()(const Chunk<T>& x) const {
    return T(0.5) * x * (T(1) + (x * (std::numbers::sqrt2_v<T> / 2)).erf());
  }
};

// GELU as tanh approximates it: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))). The same, section 2.
struct GeluTanh {
  template <class T>
  Chunk<T> operator()(const Chunk<T>& x) const {
    constexpr T slope = std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
    return T(0.5) * x * (T(1) + (slope * (x + T(0.044715) * x * x * x)).tanh());
  }
};

// max(x, 0); NaN stays NaN.
struct Relu {
  template <class T>
  Chunk<T> operator()(const Chunk<T>& x) const {
    return (x < T(0)).select(Chunk<T>::Zero(), x);
  }
};

// x.
struct Identity {
  template <class T>
  Chunk<T> operator()(const Chunk<T>& x) const {
    return x;
  }
};

template <class F, class T>
concept ChunkActivation = requires(const F& f, const Chunk<T>& x) {
  { f(x) } -> std::convertible_to<Chunk<T>>;
};

template <class F, class T>
concept ScalarActivation = requires(const F& f, T x) {
  { f(x) } -> std::convertible_to<T>;
};

template <class F, class T>
concept Activation = ChunkActivation<F, T> || ScalarActivation<F, T>;

inline namespace HEED_ABI {

// row[j] = activation(row[j]) for j in [0, size).
template <class T, Activation<T> F>
void activate(const F& activation, T* row, Index size) {
  if constexpr (!ChunkActivation<F, T>) {
    for (Index j = 0; j < size; ++j) row[j] = static_cast<T>(activation(row[j]));
  } else {
    for (Index j = 0; j < size; j += chunk_size) {
      const Index n = std::min(chunk_size, size - j);
      Chunk<T> x = Chunk<T>::Zero();
      std::copy_n(row + j, n, x.data());
      x = activation(x);
      std::copy_n(x.data(), n, row + j);
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed::nn
