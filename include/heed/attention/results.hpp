// The tensors that a call returns: like its inputs.
#pragma once

#include "heed/core/eigen.hpp"
#include "heed/core/shape.hpp"

namespace heed {

inline namespace HEED_ABI {

// A result in q's layout: [B, Hq, Lq, Dv], [B, Lq, Dv] or [Lq, Dv].
template <class S, class Q>
auto make_like(const Q&, const Shape& shape) {
  using Traits = TraitsOf<Q>;
  if constexpr (rank_of<Q> == 4) {
    return Traits::template make<S>({shape.B, shape.Hq, shape.Lq, shape.Dv});
  } else if constexpr (rank_of<Q> == 3) {
    return Traits::template make<S>({shape.B, shape.Lq, shape.Dv});
  } else {
    return Traits::template make<S>({shape.Lq, shape.Dv});
  }
}

// Scores, row major whatever q's layout: [B, Hq, Lq, Lk], [B, Lq, Lk] or [Lq, Lk].
template <class Q, class S>
auto make_scores(const Shape& shape) {
  using Scores = TensorTraits<View<S, rank_of<Q>>>;
  if constexpr (rank_of<Q> == 4) {
    return Scores::template make<S>({shape.B, shape.Hq, shape.Lq, shape.Lk});
  } else if constexpr (rank_of<Q> == 3) {
    return Scores::template make<S>({shape.B, shape.Lq, shape.Lk});
  } else {
    return Scores::template make<S>({shape.Lq, shape.Lk});
  }
}

}  // namespace HEED_ABI
}  // namespace heed
