// Input and output of a module: tokens [B, L, features] or [L, features], one row a token.
#pragma once

#include <algorithm>
#include <string>

#include "heed/core/check.hpp"
#include "heed/core/eigen.hpp"
#include "heed/core/tensor.hpp"

namespace heed::nn {

template <class X>
concept Tokens = TensorLike<X> &&(rank_of<X> == 2 || rank_of<X> == 3);

inline namespace HEED_ABI {

// [B, L, features] of rank 2 or 3.
template <class T>
constexpr View<T, 3> as_batch(const View<T, 3>& x) {
  return x;
}
template <class T>
constexpr View<T, 3> as_batch(const View<T, 2>& x) {
  return {x.data, {1, x.extent[0], x.extent[1]}, {0, x.stride[0], x.stride[1]}};
}

// The tokens of a call; heed::Error where they have other than `features` features.
template <Tokens X>
View<const ScalarOf<X>, 3> tokens_of(const X& x, Index features, const char* call,
                                     const char* name = "x") {
  const auto view = view_of(x);
  require_sane(view, call, name);
  if (view.extent[rank_of<X> - 1] != features) {
    throw Error(std::string(call) + ": " + name + " has " +
                std::to_string(view.extent[rank_of<X> - 1]) + " features but the module takes " +
                std::to_string(features) + " (" + name + " " + to_string(view) + ")");
  }
  return as_batch(view);
}

// A tensor of x's kind and length with `features` features, to be written.
template <Tokens X>
auto make_tokens(const X& x, Index features) {
  using Traits = TraitsOf<X>;
  using T = ScalarOf<X>;
  const auto view = view_of(x);
  if constexpr (rank_of<X> == 3) {
    return Traits::template make<T>({view.extent[0], view.extent[1], features});
  } else {
    return Traits::template make<T>({view.extent[0], features});
  }
}

// The writable [B, L, features] view of what make_tokens made.
template <Tokens X, class Made>
View<ScalarOf<X>, 3> made_view(Made& made) {
  return as_batch(TraitsOf<X>::template owned_view<ScalarOf<X>>(made));
}

template <class T>
Index token_count(const View<T, 3>& x) {
  return checked_product(x.extent[0], x.extent[1]);
}

// Where token n of all B·L starts.
template <class T>
T* token(const View<T, 3>& x, Index n) {
  return x.data + n / x.extent[1] * x.stride[0] + n % x.extent[1] * x.stride[1];
}

// `row` is packed, the tokens are strided.
template <class T>
void read_token(const View<const T, 3>& x, Index n, T* row) {
  const T* from = token(x, n);
  if (x.stride[2] == 1) {
    std::copy_n(from, x.extent[2], row);
  } else {
    for (Index j = 0; j < x.extent[2]; ++j) row[j] = from[j * x.stride[2]];
  }
}
// Token n where it is packed: in x, or copied to `row`.
template <class T>
const T* packed_token(const View<const T, 3>& x, Index n, T* row) {
  if (x.stride[2] == 1) return token(x, n);
  read_token(x, n, row);
  return row;
}
template <class T>
void write_token(const View<T, 3>& x, Index n, const T* row) {
  T* to = token(x, n);
  if (x.stride[2] == 1) {
    std::copy_n(row, x.extent[2], to);
  } else {
    for (Index j = 0; j < x.extent[2]; ++j) to[j * x.stride[2]] = row[j];
  }
}

// y += x, both [B, L, features].
template <class T>
void add_into(const View<T, 3>& y, const View<const T, 3>& x) {
  const Index size = y.extent[2];
  for (Index n = 0; n < token_count(y); ++n) {
    T* to = token(y, n);
    const T* from = token(x, n);
    if (x.stride[2] == 1 && y.stride[2] == 1) {
      Eigen::Map<Eigen::ArrayX<T>>(to, size) += Eigen::Map<const Eigen::ArrayX<T>>(from, size);
    } else {
      for (Index j = 0; j < size; ++j) to[j * y.stride[2]] += from[j * x.stride[2]];
    }
  }
}

// y = x, both [B, L, features], x packed.
template <class T>
void copy_tokens(const View<T, 3>& y, const View<const T, 3>& x) {
  for (Index n = 0; n < token_count(y); ++n) write_token(y, n, token(x, n));
}

// [B, L, heads, dim] of [B, L, heads · dim]: the same memory.
template <class T>
constexpr View<T, 4> split_heads(const View<T, 3>& x, Index heads) {
  const Index dim = x.extent[2] / heads;
  return {x.data,
          {x.extent[0], x.extent[1], heads, dim},
          {x.stride[0], x.stride[1], dim * x.stride[2], x.stride[2]}};
}

}  // namespace HEED_ABI
}  // namespace heed::nn
