// A tensor of numbers added to the scores, in logits. −inf masks, whatever the score is: behind it
// a NaN or +inf of a padded key stays unseen.
#pragma once

#include <type_traits>

#include "heed/core/broadcast.hpp"
#include "heed/score/add_gradient.hpp"
#include "heed/score/score.hpp"

namespace heed::score {

using heed::axes;
using heed::missing;

inline namespace HEED_ABI {

// s + bias, or −inf where the bias is −inf.
template <class R, class T>
[[gnu::always_inline]] HEED_DEVICE inline R biased(R s, T bias) {
  const R added = static_cast<R>(bias);
  return mask_if(is_masked(added), s + added);
}

template <class T>
struct BoundBias {
  static constexpr bool unit_derivative = true;

  View<const T, 2> bias;  // [Lq | 1, Lk | 1]
  int end = all_keys;     // keys from here on, which the tensor does not have, are masked

  template <class R>
  HEED_DEVICE R value(R s, int i, int j) const {
    return j < end ? biased(s, bias(i, j)) : mask_if(true, s);
  }
  template <class R>
  [[gnu::always_inline]] void modify(R* s, int i, int j, int keys) const {
    if (keys > end - j) {
      for (int c = 0; c < keys; ++c) s[c] = value(s[c], i, j + c);
      return;
    }
    const T* row = &bias(i, j);
    if (bias.stride[1] == 1) {
      for (int c = 0; c < keys; ++c) s[c] = biased(s[c], row[c]);
    } else {
      for (int c = 0; c < keys; ++c) s[c] = biased(s[c], row[c * bias.stride[1]]);
    }
  }
  template <class R>
  HEED_DEVICE constexpr R derivative(R, int, int) const {
    return R(1);
  }

  // sums [Lq | 1, Lk | 1], with stride 0 where 1
  template <class X, class R>
  void add_gradient(const View<X, 2>& sums, R d, R, int i, int j) const {
    if (j < end) add_to(sums(i, j), d);
  }
  template <class X, class R>
  [[gnu::always_inline]] void add_gradient(const View<X, 2>& sums, const R* d, const R*, int i,
                                           int j, int keys) const {
    X* row = &sums(i, j);
    const Index step = sums.stride[1];
    if (keys > end - j) {
      for (int c = 0; c < end - j; ++c) add_to(row[c * step], d[c]);
    } else if (step == 1) {
      // 8 rows ahead: 3 % of a call whose gradient has 16 MB (Zen 4).
      const X* ahead = row + 8 * sums.stride[0];
      for (int c = 0; c < keys; c += 64 / int{sizeof(X)}) __builtin_prefetch(ahead + c, 1);
      for (int c = 0; c < keys; ++c) add_to(row[c], d[c]);
    } else if (step == 0) {
      add_to(*row, sum_of<R>(keys, [&](int c) { return d[c]; }));
    } else {
      for (int c = 0; c < keys; ++c) add_to(row[c * step], d[c]);
    }
  }
};

}  // namespace HEED_ABI

template <class T>
struct Bias {
  Broadcast<T> tensor;

  HEED_DEVICE BoundBias<T> bind(const Shape& shape, Index b, Index h) const {
    return {tensor.at(b, h), tensor.keys_of(shape)};
  }
  template <class Arena>
  Bias to_device(Arena& arena) const {
    return {tensor.to_device(arena)};
  }
  void check(const Shape& shape) const { tensor.check("heed::score::bias", shape); }

  View<const T, 4> parameters(const Shape&) const { return tensor.view; }
  bool pairs_apart(const Shape& shape) const {
    const Index queries = tensor.view.extent[2], keys = tensor.view.extent[3];
    return queries == shape.Lq && (keys == shape.Lk || keys != 1);
  }
};

inline namespace HEED_ABI {

// [Lq, Lk], [B, H, Lq, Lk], or what `meaning` says (core/broadcast.hpp); extents of 1 broadcast.
// With missing::masked the tensor may have fewer keys than the call; nobody sees the others.
// Refers to the tensor: it must outlive the score, and a temporary one is a compile error. Throws
// heed::Error where rank and axes disagree.
template <TensorLike X>
Bias<ScalarOf<X>> bias(X&& tensor, axes meaning = axes::by_rank, missing rest = missing::refused) {
  static_assert(!std::is_same_v<ScalarOf<X>, bool>,
                "heed::score::bias: a tensor of bool is a mask: use heed::mask::dense");
  static_assert(LastingTensor<X>,
                "heed::score::bias: refers to the tensor, and this one is gone when the expression "
                "ends: give it a name");
  return {broadcast("heed::score::bias", tensor, meaning, rest)};
}

}  // namespace HEED_ABI
}  // namespace heed::score
