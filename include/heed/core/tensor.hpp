// TensorLike: any type with TensorTraits may be passed as a tensor. Views are here, Eigen's types
// in core/eigen.hpp, other orders of dimensions in core/layout.hpp.
//
// TensorTraits<X> gives
//   Scalar, rank               element type; 4 [B, H, L, D], 3 [B, L, D] or 2 [L, D]
//   view(x), mutable_view(x)   a View in that order of dimensions, whatever the memory's order
//   Owned<S>, make<S>(extents) a result in x's layout, and its view(…) as above
//   Rows<S>, rows_view(rows)   a result with one number a row: [B, H, L], [B, L] or [L]
//   refers = true              where a copy of x names the same memory: a view, a map. Without it x
//                              owns its memory, and what keeps a reference refuses a temporary x
#pragma once

#include <type_traits>
#include <utility>

#include "heed/core/types.hpp"
#include "heed/core/view.hpp"

namespace heed {

template <class X>
struct TensorTraits {};

template <class X>
using TraitsOf = TensorTraits<std::remove_cvref_t<X>>;

template <class X>
concept TensorLike = requires {
  typename TraitsOf<X>::Scalar;
};

// Containers of numbers: a tensor, an expression of tensors, an array, a range. They are no masks
// or scores, even where they can be called with (i, j).
template <class X>
concept HoldsNumbers = TensorLike<X> || std::is_array_v<std::remove_cvref_t<X>> ||
    requires(const X& x) {
  x.rows() * x.cols();
} || requires(const X& x) {
  x.end() - x.begin();
} || requires {
  typename std::remove_cvref_t<X>::CoeffReturnType;
};

template <TensorLike X>
using ScalarOf = typename TraitsOf<X>::Scalar;

template <TensorLike X>
inline constexpr int rank_of = TraitsOf<X>::rank;

template <class X>
inline constexpr bool refers_to_memory = requires {
  requires bool(TraitsOf<X>::refers);
};

// Memory that outlasts the expression it stands in: a tensor with a name, or a view or a map. X is
// deduced from X&&.
template <class X>
concept LastingTensor = std::is_lvalue_reference_v<X> || refers_to_memory<X>;

inline namespace HEED_ABI {

template <TensorLike X>
auto view_of(const X& x) {
  return TraitsOf<X>::view(x);
}

template <class X>
auto mutable_view_of(X&& x) {
  return TraitsOf<X>::mutable_view(x);
}

}  // namespace HEED_ABI

// The tensors that results of calls on views are: core/eigen.hpp defines them.
template <int Rank>
struct ViewResults;

template <class T, int Rank>
struct TensorTraits<View<T, Rank>> {
  using Scalar = std::remove_const_t<T>;
  static constexpr int rank = Rank;
  static constexpr bool refers = true;
  template <class S>
  using Owned = typename ViewResults<sizeof(S) == 0 ? 0 : Rank>::template Owned<S>;
  template <class S>
  using Rows = typename ViewResults<sizeof(S) == 0 ? 0 : Rank>::template Rows<S>;

  static View<const Scalar, Rank> view(const View<T, Rank>& x) { return x.as_const(); }
  static View<T, Rank> mutable_view(const View<T, Rank>& x) { return x; }
  template <class S>
  static Owned<S> make(const Extents<Rank>& extent) {
    return ViewResults<Rank>::template make<S>(extent);
  }
  template <class S>
  static View<S, Rank> owned_view(Owned<S>& x) {
    return ViewResults<Rank>::template owned_view<S>(x);
  }
  template <class S>
  static View<S, Rank - 1> rows_view(Rows<S>& x) {
    return ViewResults<Rank>::template rows_view<S>(x);
  }
};

inline namespace HEED_ABI {

// A tensor of the shape and layout of x with elements of S.
template <class S, TensorLike X>
auto make_as(const X& x) {
  return TraitsOf<X>::template make<S>(view_of(x).extent);
}

// A tensor of the shape, layout and elements of x, which write(view) fills.
template <TensorLike X, class F>
auto written_as(const X& x, F&& write) {
  using T = ScalarOf<X>;
  auto out = make_as<T>(x);
  write(TraitsOf<X>::template owned_view<T>(out));
  return out;
}

// One number a row of a tensor like X: [B, H, L], [B, L] or [L].
template <TensorLike X, class S>
typename TraitsOf<X>::template Rows<S> make_rows(Index B, Index H, Index L) {
  using Rows = typename TraitsOf<X>::template Rows<S>;
  checked_size(View<S, 3>{nullptr, {B, H, L}, {}});
  if constexpr (requires { TraitsOf<X>::rows_reversed; })
    return Rows(L, H, B);
  else if constexpr (rank_of<X> == 4)
    return Rows(B, H, L);
  if constexpr (rank_of<X> == 3) return Rows(B, L);
  if constexpr (rank_of<X> == 2) return Rows(L);
}

}  // namespace HEED_ABI

}  // namespace heed
