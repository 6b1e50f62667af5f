// What may be passed as a tensor: anything with TensorTraits. Views and [B, L, H, D] are here,
// Eigen's types in core/eigen.hpp.
//
// TensorTraits<X> gives
//   Scalar, rank               element type; 4 [B, H, L, D], 3 [B, L, D] or 2 [L, D]
//   view(x), mutable_view(x)   a View in that order of dimensions, whatever the memory's order
//   Owned<S>, make<S>(extents) a result in x's layout, and its view(…) as above
//   Rows<S>, rows_view(rows)   a result with one number a row: [B, H, L], [B, L] or [L]
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

template <TensorLike X>
using ScalarOf = typename TraitsOf<X>::Scalar;

template <TensorLike X>
inline constexpr int rank_of = TraitsOf<X>::rank;

// A rank-4 tensor whose dimensions are [B, L, H, D]; refers to it, copies nothing.
template <class X>
struct Blhd {
  X* tensor;
};

inline namespace HEED_ABI {

// Says that a rank-4 tensor is [B, L, H, D]. The result refers to x: use it inside the call.
template <class X>
Blhd<std::remove_reference_t<X>> blhd(X&& x) {
  static_assert(TensorLike<X>, "heed::blhd: this type is no tensor that heed can view");
  static_assert(rank_of<X> == 4, "heed::blhd: a [B, L, H, D] tensor has rank 4");
  return {&x};
}

template <class T>
constexpr View<T, 4> swap_heads(const View<T, 4>& x) {
  return {x.data,
          {x.extent[0], x.extent[2], x.extent[1], x.extent[3]},
          {x.stride[0], x.stride[2], x.stride[1], x.stride[3]}};
}

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

template <class X>
struct TensorTraits<Blhd<X>> {
  using Inner = TraitsOf<X>;
  using Scalar = typename Inner::Scalar;
  static constexpr int rank = 4;
  template <class S>
  using Owned = typename Inner::template Owned<S>;
  template <class S>
  using Rows = typename Inner::template Rows<S>;

  static View<const Scalar, 4> view(const Blhd<X>& x) { return swap_heads(Inner::view(*x.tensor)); }
  static View<Scalar, 4> mutable_view(const Blhd<X>& x) {
    return swap_heads(Inner::mutable_view(*x.tensor));
  }
  template <class S>
  static Owned<S> make(const Extents<4>& extent) {
    return Inner::template make<S>({extent[0], extent[2], extent[1], extent[3]});
  }
  template <class S>
  static View<S, 4> owned_view(Owned<S>& x) {
    return swap_heads(Inner::template owned_view<S>(x));
  }
  template <class S>
  static View<S, 3> rows_view(Rows<S>& x) {
    return Inner::template rows_view<S>(x);
  }
};

inline namespace HEED_ABI {

// One number a row of a tensor like X: [B, H, L], [B, L] or [L].
template <TensorLike X, class S>
typename TraitsOf<X>::template Rows<S> make_rows(Index B, Index H, Index L) {
  using Rows = typename TraitsOf<X>::template Rows<S>;
  checked_size(View<S, 3>{nullptr, {B, H, L}, {}});
  if constexpr (rank_of<X> == 4) return Rows(B, H, L);
  if constexpr (rank_of<X> == 3) return Rows(B, L);
  if constexpr (rank_of<X> == 2) return Rows(L);
}

}  // namespace HEED_ABI

}  // namespace heed
