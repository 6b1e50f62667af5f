// Masks form a Boolean algebra: a & b, a | b and ~a are masks again.
#pragma once

#include <utility>

#include "heed/mask/mask.hpp"
#include "heed/mask/to_device.hpp"

namespace heed::mask {

template <Mask A, Mask B>
struct And {
  A a;
  B b;

  HEED_DEVICE constexpr bool allows(int i, int j) const requires BoundMask<A> && BoundMask<B> {
    return a.allows(i, j) && b.allows(i, j);
  }
  HEED_DEVICE constexpr Coverage coverage(Tile tile) const requires BoundMask<A> && BoundMask<B> {
    const Coverage left = a.coverage(tile);
    if (left == Coverage::Empty) return left;
    const Coverage right = b.coverage(tile);
    if (right == Coverage::Empty || left == Coverage::Full) return right;
    return Coverage::Partial;
  }
  HEED_DEVICE auto bind(const Shape& shape, Index batch, Index head) const {
    auto left = mask::bind(a, shape, batch, head);
    auto right = mask::bind(b, shape, batch, head);
    return And<decltype(left), decltype(right)>{left, right};
  }
  template <class Arena>
  auto to_device(Arena& arena) const {
    auto left = mask::to_device(a, arena);
    auto right = mask::to_device(b, arena);
    return And<decltype(left), decltype(right)>{left, right};
  }
  void check(const Shape& shape) const {
    mask::check(a, shape);
    mask::check(b, shape);
  }
};

template <Mask A, Mask B>
struct Or {
  A a;
  B b;

  HEED_DEVICE constexpr bool allows(int i, int j) const requires BoundMask<A> && BoundMask<B> {
    return a.allows(i, j) || b.allows(i, j);
  }
  HEED_DEVICE constexpr Coverage coverage(Tile tile) const requires BoundMask<A> && BoundMask<B> {
    const Coverage left = a.coverage(tile);
    if (left == Coverage::Full) return left;
    const Coverage right = b.coverage(tile);
    if (right == Coverage::Full || left == Coverage::Empty) return right;
    return Coverage::Partial;
  }
  HEED_DEVICE auto bind(const Shape& shape, Index batch, Index head) const {
    auto left = mask::bind(a, shape, batch, head);
    auto right = mask::bind(b, shape, batch, head);
    return Or<decltype(left), decltype(right)>{left, right};
  }
  template <class Arena>
  auto to_device(Arena& arena) const {
    auto left = mask::to_device(a, arena);
    auto right = mask::to_device(b, arena);
    return Or<decltype(left), decltype(right)>{left, right};
  }
  void check(const Shape& shape) const {
    mask::check(a, shape);
    mask::check(b, shape);
  }
};

template <Mask A>
struct Not {
  A a;

  HEED_DEVICE constexpr bool allows(int i, int j) const requires BoundMask<A> {
    return !a.allows(i, j);
  }
  HEED_DEVICE constexpr Coverage coverage(Tile tile) const requires BoundMask<A> {
    const Coverage inner = a.coverage(tile);
    if (inner == Coverage::Partial) return inner;
    return inner == Coverage::Full ? Coverage::Empty : Coverage::Full;
  }
  HEED_DEVICE auto bind(const Shape& shape, Index batch, Index head) const {
    auto inner = mask::bind(a, shape, batch, head);
    return Not<decltype(inner)>{inner};
  }
  template <class Arena>
  auto to_device(Arena& arena) const {
    auto inner = mask::to_device(a, arena);
    return Not<decltype(inner)>{inner};
  }
  void check(const Shape& shape) const { mask::check(a, shape); }
};

template <class M>
using AsMask = std::remove_cvref_t<decltype(as_mask(std::declval<const M&>()))>;

inline namespace HEED_ABI {

template <MaskLike A, MaskLike B>
constexpr And<AsMask<A>, AsMask<B>> operator&(const A& a, const B& b) {
  return {as_mask(a), as_mask(b)};
}
template <MaskLike A, MaskLike B>
constexpr Or<AsMask<A>, AsMask<B>> operator|(const A& a, const B& b) {
  return {as_mask(a), as_mask(b)};
}
template <MaskLike A>
constexpr Not<AsMask<A>> operator~(const A& a) {
  return {as_mask(a)};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
