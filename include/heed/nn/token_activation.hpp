// Activations of whole tensors, tokens in parallel: where training needs the values before them.
#pragma once

#include <algorithm>

#include "heed/nn/activation.hpp"
#include "heed/nn/dropout.hpp"
#include "heed/nn/for_each_token.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// x = activation(x).
//   x  [B, L, features], packed
template <class T, Activation<T> F>
void activate_tokens(const F& activation, const View<T, 3>& x, const Options& options) {
  const auto& kernels = simd::layer_kernels<T>(isa());
  for_each_token(x, options,
                 [&](Index n) { activate(activation, token(x, n), x.extent[2], kernels); });
}

// y = drop(activation(x)) of tokens `first` … of x, a token at a time while it is in L1.
//   x  [B, L, features], packed
//   y  [1, count, features], packed
template <class T, Activation<T> F>
void activate_tokens(const F& activation, const View<const T, 3>& x, Index first,
                     const View<T, 3>& y, const TokenDropout& dropout, const Options& options) {
  const auto& kernels = simd::layer_kernels<T>(isa());
  for_each_token(y, options, [&](Index n) {
    T* row = token(y, n);
    std::copy_n(token(x, first + n), x.extent[2], row);
    activate(activation, row, x.extent[2], kernels);
    dropout(row, x.extent[2], x.extent[1], first + n);
  });
}

// d *= activation'(x).
//   x, d  [B, L, features], packed
template <class T, Activation<T> F>
void activation_gradient_tokens(const F& activation, const View<const T, 3>& x, const View<T, 3>& d,
                                const Options& options) {
  const auto& kernels = simd::layer_kernels<T>(isa());
  for_each_token(x, options, [&](Index n) {
    activation_gradient(activation, token(x, n), token(d, n), x.extent[2], kernels);
  });
}

// d = drop(d) · activation'(x), likewise.
template <class T, Activation<T> F>
void activation_gradient_tokens(const F& activation, const View<const T, 3>& x, Index first,
                                const View<T, 3>& d, const TokenDropout& dropout,
                                const Options& options) {
  const auto& kernels = simd::layer_kernels<T>(isa());
  for_each_token(d, options, [&](Index n) {
    T* row = token(d, n);
    dropout(row, x.extent[2], x.extent[1], first + n);
    activation_gradient(activation, token(x, first + n), row, x.extent[2], kernels);
  });
}

}  // namespace HEED_ABI
}  // namespace heed::nn
