// Masks and scores are functions; these are the matrices they stand for, to be drawn or counted.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/eigen.hpp"
#include "heed/core/shape.hpp"
#include "heed/mask/mask.hpp"
#include "heed/score/score.hpp"

namespace heed::inspect {
inline namespace HEED_ABI {

// 1 where a query sees a key, else 0, as [Lq, Lk], for one batch and query head of `shape`.
// Throws heed::Error where the mask does not fit the shape. O(Lq · Lk).
template <mask::MaskLike M>
Tensor2<float> mask_matrix(const M& mask, const Shape& shape, Index b = 0, Index h = 0) {
  mask::check(mask::as_mask(mask), shape);
  const auto bound = mask::bind(mask::as_mask(mask), shape, b, h);
  auto matrix = make_tensor<float, 2, Eigen::RowMajor>({shape.Lq, shape.Lk});
  for (int i = 0; i < shape.Lq; ++i) {
    for (int j = 0; j < shape.Lk; ++j) matrix(i, j) = bound.allows(i, j) ? 1.0F : 0.0F;
  }
  return matrix;
}

// The score modifier applied to `before` everywhere, [Lq, Lk]: for 0 that is the bias it adds.
// Throws heed::Error where the score does not fit the shape. O(Lq · Lk).
template <score::ScoreLike S>
Tensor2<float> score_matrix(const S& score, const Shape& shape, Index b = 0, Index h = 0,
                            float before = 0) {
  score::check(score::as_score(score), shape);
  const auto bound = score::bind(score::as_score(score), shape, b, h);
  auto matrix = make_tensor<float, 2, Eigen::RowMajor>({shape.Lq, shape.Lk});
  for (int i = 0; i < shape.Lq; ++i) {
    for (int j = 0; j < shape.Lk; ++j) {
      matrix(i, j) = static_cast<float>(bound.value(before, i, j));
    }
  }
  return matrix;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
