// The gate of attention's output: each head's features times a sigmoid of the query's.
// Qiu et al., "Gated Attention for Large Language Models" (2025), equation 5.
#pragma once

#include "heed/nn/gradients.hpp"
#include "heed/nn/token_activation.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// x = sigmoid(x), as ½ + ½·tanh(x / 2), whose kernel is simd's.
//   x  [B, L, n], packed
template <class T>
void sigmoid_tokens(const View<T, 3>& x, const Options& options) {
  const auto& kernels = simd::layer_kernels<T>(isa());
  for_each_token(x, options, [&](Index n) {
    T* row = token(x, n);
    const Index size = x.extent[2];
    for (Index j = 0; j < size; ++j) row[j] = static_cast<T>(static_cast<Accum<T>>(row[j]) / 2);
    activate(Tanh{}, row, size, kernels);
    for (Index j = 0; j < size; ++j) {
      row[j] = static_cast<T>((1 + static_cast<Accum<T>>(row[j])) / 2);
    }
  });
}

// y = x ∘ gates, a gate for each of a token's features or for several beside each other.
//   x, y   [B, L, n · width], any strides; y may be x
//   gates  [B, L, n], packed
template <class T>
void gate_into(const View<T, 3>& y, const View<const T, 3>& x, const View<const T, 3>& gates,
               const Options& options) {
  const Index n = gates.extent[2], width = x.extent[2] / n;
  for_each_token(y, options, [&](Index at) {
    const T* from = token(x, at);
    const T* gate = token(gates, at);
    T* to = token(y, at);
    for (Index g = 0; g < n; ++g) {
      for (Index j = g * width; j < (g + 1) * width; ++j) {
        to[j * y.stride[2]] = static_cast<T>(static_cast<Accum<T>>(from[j * x.stride[2]]) *
                                             static_cast<Accum<T>>(gate[g]));
      }
    }
  });
}

// forward: y = x ∘ g, g = sigmoid(z); so: d_z = Σ d·x · g·(1 − g) over the features of a gate, and
// d, the gradient of y, becomes that of x.
//   d, x        [B, L, n · width], packed
//   d_z, gates  [B, L, n], packed; d_z is written
template <class T>
void gate_gradient(const View<T, 3>& d, const View<T, 3>& d_z, const View<const T, 3>& x,
                   const View<const T, 3>& gates, const Options& options) {
  const Index n = gates.extent[2], width = x.extent[2] / n;
  for_each_token(d, options, [&](Index at) {
    const T* of = token(x, at);
    const T* gate = token(gates, at);
    T* to = token(d, at);
    T* to_z = token(d_z, at);
    for (Index g = 0; g < n; ++g) {
      T sum = 0;
      for (Index j = g * width; j < (g + 1) * width; ++j) {
        sum += to[j] * of[j];
        to[j] *= gate[g];
      }
      to_z[g] = sum * gate[g] * (1 - gate[g]);
    }
  });
}

}  // namespace HEED_ABI
}  // namespace heed::nn
