// Masks and scores as a module takes them: its inputs are [B, L, features] or [L, features], so a
// rank-3 tensor is [B, Lq, Lk] ([B, 1, Lk] masks padding), though attention's tensors, which have
// heads, are of rank 4.
#pragma once

#include "heed/core/tensor.hpp"
#include "heed/mask/key_stride.hpp"
#include "heed/mask/mask.hpp"
#include "heed/mask/to_device.hpp"
#include "heed/score/chain_rule.hpp"
#include "heed/score/score.hpp"
#include "heed/score/to_device.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// The shape that a module's caller sees: of rank 3.
constexpr Shape token_shape(Shape shape) {
  shape.rank = 3;
  return shape;
}

// A mask of the caller's; refers to it. Only a mask with a check can depend on the rank.
template <class M>
struct TokenMask {
  const M& mask;

  auto bind(const Shape& shape, Index b, Index h) const {
    return mask::bind(mask, token_shape(shape), b, h);
  }
  void check(const Shape& shape) const { mask::check(mask, token_shape(shape)); }
  int key_stride() const requires mask::HasKeyStride<M> { return mask.key_stride(); }
  template <class Arena>
  auto to_device(Arena& arena) const {
    return mask::to_device(mask, arena);
  }
};

template <class S>
struct TokenScore {
  const S& score;

  auto bind(const Shape& shape, Index b, Index h) const {
    return score::bind(score, token_shape(shape), b, h);
  }
  void check(const Shape& shape) const { score::check(score, token_shape(shape)); }
  [[gnu::always_inline]] auto gradients(const Shape& shape) const {
    return score::gradients(score, token_shape(shape));
  }
  template <class Arena>
  auto to_device(Arena& arena) const {
    return score::to_device(score, arena);
  }
};

// The compile errors of a tensor where a module takes a mask or a score.
template <class M, class S>
consteval void check_not_tensors() {
  static_assert(
      !TensorLike<M>,
      "heed::nn: a tensor is not a mask: where nonzero attends, pass mask::dense(t); where "
      "it is added to the scores, pass score::bias(t) after the mask");
  static_assert(!TensorLike<S>,
                "heed::nn: a tensor is not a score: where it is added to the scores, pass "
                "score::bias(t); where nonzero attends, pass mask::dense(t) before the score");
}

// The mask or score that attention is given for a module's; its own type where rank can't matter.
template <class M>
decltype(auto) token_mask(const M& mask) {
  if constexpr (requires(const Shape& shape) { mask.check(shape); })
    return TokenMask<M>{mask};
  else
    return (mask);
}
template <class S>
decltype(auto) token_score(const S& score) {
  if constexpr (requires(const Shape& shape) { score.check(shape); })
    return TokenScore<S>{score};
  else
    return (score);
}

}  // namespace HEED_ABI
}  // namespace heed::nn

namespace heed::score {

inline namespace HEED_ABI {

template <class S>
struct ChainRule<nn::TokenScore<S>> : ChainRule<S> {};

}  // namespace HEED_ABI
}  // namespace heed::score
