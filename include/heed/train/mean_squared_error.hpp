// The loss of a regression: the mean of (y − target)².
#pragma once

#include <utility>

#include "heed/core/check.hpp"
#include "heed/core/copy.hpp"
#include "heed/core/tensor.hpp"
#include "heed/train/loss.hpp"

namespace heed::train {

inline namespace HEED_ABI {

// [B, H, L, D] of any rank: [N] is one row.
template <class T, int Rank>
constexpr View<T, 4> lift_any(const View<T, Rank>& x) {
  if constexpr (Rank == 1) {
    return {x.data, {1, 1, 1, x.extent[0]}, {0, 0, 0, x.stride[0]}};
  } else {
    return lift(x);
  }
}

// {mean of (y − target)² over all elements, its gradient by y}
//
//   y, target  of one shape, of rank 1 to 4, any strides
//
// Summed in double, in ascending order. Throws heed::Error where the shapes differ.
template <TensorLike X, TensorLike Y>
auto mean_squared_error(const X& y, const Y& target) {
  static_assert(rank_of<X> == rank_of<Y>, "heed::train: y and target must have one rank");
  static_assert(rank_of<X> >= 1 && rank_of<X> <= 4, "heed::train: y and target are of rank 1 to 4");
  using T = ScalarOf<X>;
  const auto from = lift_any(view_of(y));
  const auto to = lift_any(view_of(target));
  require_sane(from, "heed::train::mean_squared_error", "y");
  require_sane(to, "heed::train::mean_squared_error", "target");
  bool same = true;
  for (int n = 0; n < 4; ++n) same = same && from.extent[n] == to.extent[n];
  require(same, "heed::train::mean_squared_error", "target must have the shape of y",
          [&] { return "y " + to_string(from) + ", target " + to_string(to); });
  auto gradient = make_as<T>(y);
  const auto d = lift_any(TraitsOf<X>::template owned_view<T>(gradient));
  const Index count = checked_size(from);
  double sum = 0;
  for_each_row(from, [&](Index b, Index h, Index i) {
    for (Index j = 0; j < from.extent[3]; ++j) {
      const double gap =
          static_cast<double>(from(b, h, i, j)) - static_cast<double>(to(b, h, i, j));
      sum += gap * gap;
      d(b, h, i, j) = static_cast<T>(2 * gap / static_cast<double>(count));
    }
  });
  return Loss{count == 0 ? 0.0 : sum / static_cast<double>(count), std::move(gradient)};
}

}  // namespace HEED_ABI
}  // namespace heed::train
