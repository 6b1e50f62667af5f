// The result of a call: tensors like its inputs. Needs no Eigen; core/eigen.hpp makes Eigen's
// tensors.
#pragma once

#include <type_traits>

#include "heed/core/shape.hpp"
#include "heed/core/tensor.hpp"

namespace heed {

template <class Out, class Lse>
struct Result {
  Out out;  // [B, Hq, Lq, Dv] in q's layout and rank
  Lse lse;  // [B, Hq, Lq], [B, Lq] or [Lq]; natural log, −inf where a row sees no key
};
template <class Out, class Lse>
Result(Out, Lse) -> Result<Out, Lse>;  // clang 14 does not deduce it by itself

template <class X>
inline constexpr bool is_result = false;
template <class Out, class Lse>
inline constexpr bool is_result<Result<Out, Lse>> = true;

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
