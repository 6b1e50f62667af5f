// The mean over the tokens of each sequence.
#pragma once

#include <span>

#include "heed/nn/gradients.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// Tokens of sequence b of L: lengths[b], or all.
inline Index own_tokens(std::span<const int> lengths, Index b, Index L) {
  return lengths.empty() ? L : lengths[static_cast<std::size_t>(b)];
}

// pooled [B, 1, features], summed in double; 0 for a sequence without tokens.
template <class T>
void mean_into(const View<T, 3>& pooled, const View<const T, 3>& x, std::span<const int> lengths) {
  for (Index b = 0; b < x.extent[0]; ++b) {
    const Index own = own_tokens(lengths, b, x.extent[1]);
    for (Index d = 0; d < x.extent[2]; ++d) {
      double sum = 0;
      for (Index i = 0; i < own; ++i) sum += static_cast<double>(x(b, i, d));
      pooled(b, 0, d) = static_cast<T>(own == 0 ? 0.0 : sum / static_cast<double>(own));
    }
  }
}

// forward: pooled = Σ x / tokens; so: each of them gets d_pooled / tokens, the others 0.
template <class T>
Tensor3<T> mean_gradient(const Tensor3<T>& d_pooled, Index L, std::span<const int> lengths) {
  const Index B = d_pooled.dimension(0), features = d_pooled.dimension(2);
  auto dx = make_tensor3<T>(B, L, features);
  dx.setZero();
  for (Index b = 0; b < B; ++b) {
    const Index own = own_tokens(lengths, b, L);
    for (Index i = 0; i < own; ++i) {
      for (Index d = 0; d < features; ++d) dx(b, i, d) = d_pooled(b, 0, d) / static_cast<T>(own);
    }
  }
  return dx;
}

}  // namespace HEED_ABI
}  // namespace heed::nn
