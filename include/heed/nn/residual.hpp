// A part of a transformer block with its residual and its norm: forward, and in training.
#pragma once

#include <utility>

#include "heed/nn/layer_norm.hpp"

namespace heed::nn {

// post: norm(x + part(x)), as the paper and BERT. pre: x + part(norm(x)), as GPT-2; Xiong et al.,
// "On Layer Normalization in the Transformer Architecture" (2020).
enum class NormPlace { post, pre };

inline namespace HEED_ABI {

template <class T>
void add_tokens(Tensor3<T>& y, const Tensor3<T>& x) {
  add_into(mutable_view_of(y), view_of(x));
}

// y of x, both [B, L, features] and apart; part(to, from) maps tokens to tokens.
//   normed  [B, L, features]   room for norm(x), used with NormPlace::pre
template <class T, class Part>
void residual_into(NormPlace place, const View<T, 3>& y, const View<const T, 3>& x,
                   const View<T, 3>& normed, const LayerNorm<T>& norm, const Options& options,
                   const Part& part) {
  if (place == NormPlace::pre) {
    norm.forward_into(normed, x, options);
    part(y, normed.as_const());
    add_into(y, x);
  } else {
    part(y, x);
    add_into(y, x);
    norm.forward_into(y, y.as_const(), options);
  }
}

// y of x [B, L, features]. `part` maps tokens to tokens and keeps its input, which kept() finds.
template <class T, class Part, class Kept>
Tensor3<T> residual_train(NormPlace place, Tensor3<T> x, const LayerNorm<T>& norm,
                          typename LayerNorm<T>::Saved& saved, const Options& options,
                          const Part& part, const Kept& kept) {
  if (place == NormPlace::pre) {
    auto normed = norm.forward_train(std::move(x), options);
    saved = std::move(normed.saved);
    auto y = part(std::move(normed.out));
    add_tokens(y, saved.x);
    return y;
  }
  auto sum = part(std::move(x));
  add_tokens(sum, kept());
  auto normed = norm.forward_train(std::move(sum), options);
  saved = std::move(normed.saved);
  return std::move(normed.out);
}

// forward: y = x + part(norm(x)) or norm(x + part(x)); so: the gradient of the sum goes to both of
// its terms. `part` maps the gradient of its result to that of its input.
template <class T, class Part>
Tensor3<T> residual_backward(NormPlace place, const Tensor3<T>& dy, const LayerNorm<T>& norm,
                             const typename LayerNorm<T>::Saved& saved, LayerNorm<T>& gradients,
                             const Options& options, const Part& part) {
  if (place == NormPlace::pre) {
    auto dx = norm.backward(part(dy), saved, gradients, options);
    add_tokens(dx, dy);
    return dx;
  }
  const auto d_sum = norm.backward(dy, saved, gradients, options);
  auto dx = part(d_sum);
  add_tokens(dx, d_sum);
  return dx;
}

}  // namespace HEED_ABI
}  // namespace heed::nn
