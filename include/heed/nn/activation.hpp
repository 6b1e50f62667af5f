// The nonlinearity of a feed-forward layer. An activation is a callable T -> T, or, to be fast,
// Chunk<T> -> Chunk<T>, element by element: a row comes in pieces, the last chunk of each padded.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <concepts>

#include "heed/core/types.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::nn {

inline constexpr Index chunk_size = 16;  // features; the widest vector of floats

template <class T>
using Chunk = Eigen::Array<T, static_cast<int>(chunk_size), 1>;

// One of simd's activations: computed on the sums while they are in registers.
template <simd::Activation Which>
struct SimdActivation final {
  template <class T>
  Chunk<T> operator()(Chunk<T> x) const {
    simd::layer_kernels<T>(isa()).activate(Which, x.data(), chunk_size);
    return x;
  }
};

// x·Φ(x), exactly: 0.5·x·(1 + erf(x / √2)). Hendrycks and Gimpel, GELU (2016), section 2.
using Gelu = SimdActivation<simd::Activation::gelu>;

// GELU as tanh approximates it: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))). The same, section 2.
using GeluTanh = SimdActivation<simd::Activation::gelu_tanh>;

// tanh(x).
using Tanh = SimdActivation<simd::Activation::tanh>;

// max(x, 0); NaN stays NaN.
using Relu = SimdActivation<simd::Activation::relu>;

// x / (1 + e^−x), also called Swish. The gate of SwiGLU.
using Silu = SimdActivation<simd::Activation::silu>;

// x.
using Identity = SimdActivation<simd::Activation::none>;

// The simd kernel of an activation, where there is one.
template <class F>
inline constexpr bool is_simd_activation = false;
template <simd::Activation Which>
inline constexpr bool is_simd_activation<SimdActivation<Which>> = true;
template <class F>
inline constexpr simd::Activation simd_activation_of = simd::Activation::none;
template <simd::Activation Which>
inline constexpr simd::Activation simd_activation_of<SimdActivation<Which>> = Which;

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
void activate(const F& activation, T* row, Index size,
              const simd::LayerKernels<T>& kernels = simd::layer_kernels<T>(isa())) {
  if constexpr (is_simd_activation<F>) {
    kernels.activate(simd_activation_of<F>, row, size);
  } else if constexpr (!ChunkActivation<F, T>) {
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

// d[j] *= activation'(x[j]) for j in [0, size), x the values before the activation. An activation
// of the caller's has derivative(x), the number dy/dx.
template <class T, Activation<T> F>
void activation_gradient(const F& activation, const T* x, T* d, Index size,
                         const simd::LayerKernels<T>& kernels = simd::layer_kernels<T>(isa())) {
  if constexpr (is_simd_activation<F>) {
    kernels.activation_gradient(simd_activation_of<F>, x, d, size);
  } else {
    static_assert(
        requires {
          { activation.derivative(*x) } -> std::convertible_to<T>;
        },
        "heed::nn: to be trained, an activation needs a member derivative(x): its slope at x");
    for (Index j = 0; j < size; ++j) d[j] *= static_cast<T>(activation.derivative(x[j]));
  }
}

}  // namespace HEED_ABI
}  // namespace heed::nn
