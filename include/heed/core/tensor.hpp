// What may be passed as a tensor: anything with TensorTraits. Views and [B, L, H, D] are here,
// Eigen's types in core/eigen.hpp.
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

// What holds numbers at places: a tensor, an expression of tensors, an array, a range. One that can
// be called with (i, j) is still not a function of them.
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

// What is kept of a tensor whose dimensions have another order: a view or a map itself, a pointer
// to a tensor that owns its memory. X may be const.
template <class X>
struct Kept {
  X* tensor;

  explicit constexpr Kept(X& x) : tensor(&x) {}
  constexpr X& get() const { return *tensor; }
};
template <class X>
requires refers_to_memory<X>
struct Kept<X> {
  mutable std::remove_const_t<X> tensor;

  explicit constexpr Kept(const X& x) : tensor(x) {}
  constexpr Kept(const Kept&) = default;
  Kept& operator=(const Kept&) = delete;  // a map's would copy elements
  constexpr auto& get() const { return tensor; }
};

// A rank-4 tensor whose dimensions are [B, L, H, D]; copies no elements.
template <class X>
struct Blhd : Kept<X> {
  using Kept<X>::Kept;
};

// A rank-4 tensor whose dimensions are [D, L, H, B]; copies no elements.
template <class X>
struct Dlhb : Kept<X> {
  using Kept<X>::Kept;
};

inline namespace HEED_ABI {

// The checks of blhd and dlhb; X is deduced from X&&.
template <class X>
consteval bool check_reordered() {
  static_assert(TensorLike<X>, "heed: blhd and dlhb take a tensor that heed can view");
  if constexpr (TensorLike<X>) {
    static_assert(rank_of<X> == 4, "heed: blhd and dlhb take a tensor of rank 4");
    static_assert(LastingTensor<X>,
                  "heed: blhd and dlhb refer to the tensor, and this one is gone when the "
                  "expression ends: give it a name");
    return rank_of<X> == 4 && LastingTensor<X>;
  }
  return false;
}

// Says that a rank-4 tensor is [B, L, H, D]. Refers to a tensor, which must outlive the result;
// holds a view or a map itself. A temporary tensor is a compile error.
template <class X>
requires(check_reordered<X>()) Blhd<std::remove_reference_t<X>> blhd(X&& x) {
  return Blhd<std::remove_reference_t<X>>(x);
}

// The same for [D, L, H, B], as a column-major [B, H, L, D] of other libraries lies in memory:
// results are [Dv, L, H, B], their lse [L, H, B].
template <class X>
requires(check_reordered<X>()) Dlhb<std::remove_reference_t<X>> dlhb(X&& x) {
  return Dlhb<std::remove_reference_t<X>>(x);
}

template <class T>
constexpr View<T, 4> swap_heads(const View<T, 4>& x) {
  return {x.data,
          {x.extent[0], x.extent[2], x.extent[1], x.extent[3]},
          {x.stride[0], x.stride[2], x.stride[1], x.stride[3]}};
}

// The same memory, dimensions in the opposite order.
template <class T, int Rank>
constexpr View<T, Rank> reverse_dimensions(const View<T, Rank>& x) {
  View<T, Rank> reversed{x.data, {}, {}};
  for (int d = 0; d < Rank; ++d) {
    reversed.extent[d] = x.extent[Rank - 1 - d];
    reversed.stride[d] = x.stride[Rank - 1 - d];
  }
  return reversed;
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

template <class X>
struct TensorTraits<Blhd<X>> {
  using Inner = TraitsOf<X>;
  using Scalar = typename Inner::Scalar;
  static constexpr int rank = 4;
  static constexpr bool refers = true;
  template <class S>
  using Owned = typename Inner::template Owned<S>;
  template <class S>
  using Rows = typename Inner::template Rows<S>;

  static View<const Scalar, 4> view(const Blhd<X>& x) { return swap_heads(Inner::view(x.get())); }
  static View<Scalar, 4> mutable_view(const Blhd<X>& x) {
    return swap_heads(Inner::mutable_view(x.get()));
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

template <class X>
struct TensorTraits<Dlhb<X>> {
  using Inner = TraitsOf<X>;
  using Scalar = typename Inner::Scalar;
  static constexpr int rank = 4;
  static constexpr bool refers = true;
  static constexpr bool rows_reversed = true;  // [L, H, B]
  template <class S>
  using Owned = typename Inner::template Owned<S>;
  template <class S>
  using Rows = typename Inner::template Rows<S>;

  static View<const Scalar, 4> view(const Dlhb<X>& x) {
    return reverse_dimensions(Inner::view(x.get()));
  }
  static View<Scalar, 4> mutable_view(const Dlhb<X>& x) {
    return reverse_dimensions(Inner::mutable_view(x.get()));
  }
  template <class S>
  static Owned<S> make(const Extents<4>& extent) {
    return Inner::template make<S>({extent[3], extent[2], extent[1], extent[0]});
  }
  template <class S>
  static View<S, 4> owned_view(Owned<S>& x) {
    return reverse_dimensions(Inner::template owned_view<S>(x));
  }
  template <class S>
  static View<S, 3> rows_view(Rows<S>& x) {
    return reverse_dimensions(Inner::template rows_view<S>(x));
  }
};

inline namespace HEED_ABI {

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
