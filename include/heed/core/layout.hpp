// Tensors whose dimensions have another order: blhd(x) is [B, L, H, D], dlhb(x) is [D, L, H, B].
#pragma once

#include <type_traits>

#include "heed/core/tensor.hpp"

namespace heed {

// Reference to a tensor whose dimensions have another order: a view or map by value, an owning
// tensor by pointer. X may be const.
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

}  // namespace HEED_ABI

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

}  // namespace heed
