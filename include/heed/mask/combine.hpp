// Masks form a Boolean algebra: a & b, a | b and ~a are masks again.
#pragma once

#include <algorithm>
#include <numeric>
#include <utility>

#include "heed/mask/coverage_grid.hpp"
#include "heed/mask/key_stride.hpp"
#include "heed/mask/mask.hpp"
#include "heed/mask/to_device.hpp"

namespace heed::mask {

// A mask with its own way to fill a tile: a composition then fills from whole rows of its parts.
template <class M>
concept FillsTiles = BoundMask<M> && requires(const M& mask, Tile tile, std::uint8_t* allowed) {
  mask.fill(tile, allowed, Index{});
};

inline namespace HEED_ABI {

// allowed[…] = merged(a, b) over a tile; b is filled a few rows and some keys at a time.
template <BoundMask A, BoundMask B, class Merge>
[[gnu::always_inline]] inline void fill_combined(const A& a, const B& b, Tile tile,
                                                 std::uint8_t* allowed, Index stride,
                                                 const Merge& merged) {
  constexpr int run = 64, max_mr = 8;
  std::uint8_t other[max_mr * run];
  for (int i = tile.q_begin, rows = 0; i < tile.q_end; i += rows, allowed += rows * stride) {
    rows = tile.q_end - i < max_mr ? tile.q_end - i : max_mr;
    for (int j = tile.k_begin, keys = 0; j < tile.k_end; j += keys) {
      keys = tile.k_end - j < run ? tile.k_end - j : run;
      std::uint8_t* row = allowed + (j - tile.k_begin);
      mask::fill(a, {i, i + rows, j, j + keys}, row, stride);
      mask::fill(b, {i, i + rows, j, j + keys}, other, run);
      for (int r = 0; r < rows; ++r, row += stride) {
        for (int c = 0; c < keys; ++c) row[c] = merged(row[c], other[r * run + c]);
      }
    }
  }
}

}  // namespace HEED_ABI

// a & b: a pair that one of them hides is hidden. Coverage counts Empty < Partial < Full.
struct Intersection {
  static constexpr bool decisive = false;  // an answer that needs no other
  static constexpr Coverage decisive_tile = Coverage::Empty, neutral_tile = Coverage::Full;

  template <class X>
  static constexpr X of_coverage(X one, X other) {
    return std::min(one, other);
  }
  static constexpr unsigned of_bytes(unsigned one, unsigned other) { return one & other; }
  static constexpr int of_strides(int one, int other) { return std::max(one, other); }

  template <class A, class B>
  static constexpr bool has_key_stride = HasKeyStride<A> || HasKeyStride<B>;
};

// a | b: a pair that one of them allows is allowed.
struct Union {
  static constexpr bool decisive = true;
  static constexpr Coverage decisive_tile = Coverage::Full, neutral_tile = Coverage::Empty;

  template <class X>
  static constexpr X of_coverage(X one, X other) {
    return std::max(one, other);
  }
  static constexpr unsigned of_bytes(unsigned one, unsigned other) { return one | other; }
  static constexpr int of_strides(int one, int other) { return std::gcd(one, other); }

  template <class A, class B>
  static constexpr bool has_key_stride = HasKeyStride<A>&& HasKeyStride<B>;
};

template <class Op, Mask A, Mask B>
struct Combine {
  A a;
  B b;

  HEED_DEVICE constexpr bool allows(int i, int j) const requires BoundMask<A> && BoundMask<B> {
    return a.allows(i, j) == Op::decisive ? Op::decisive : b.allows(i, j);
  }
  [[gnu::always_inline]] HEED_DEVICE constexpr Coverage coverage(
      Tile tile) const requires BoundMask<A> && BoundMask<B> {
    const Coverage left = a.coverage(tile);
    if (left == Op::decisive_tile) return left;
    const Coverage right = b.coverage(tile);
    if (right == Op::decisive_tile || left == Op::neutral_tile) return right;
    return Coverage::Partial;
  }
  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed,
                                   Index stride) const requires FillsTiles<A> || FillsTiles<B> {
    fill_combined(a, b, tile, allowed, stride, [](unsigned one, unsigned other) {
      return static_cast<std::uint8_t>(Op::of_bytes(one, other));
    });
  }
  bool whole_tiles() const requires BoundMask<A> && BoundMask<B> {
    return mask::whole_tiles(a) || mask::whole_tiles(b);
  }
  constexpr Coverage coverage_of_every(int step,
                                       Tile tile) const requires BoundMask<A> && BoundMask<B> {
    return Op::of_coverage(mask::coverage_of_every(step, a, tile),
                           mask::coverage_of_every(step, b, tile));
  }
  constexpr int key_stride() const requires(Op::template has_key_stride<A, B>) {
    return Op::of_strides(mask::key_stride(a), mask::key_stride(b));
  }
  void cover(const CoverageGrid& grid, std::uint8_t* found,
             Index stride) const requires CoversGrid<A> || CoversGrid<B> {
    mask::cover(a, grid, found, stride);
    combine_coverage(b, grid, found, stride, [](std::uint8_t one, std::uint8_t other) {
      return Op::of_coverage(one, other);
    });
  }
  HEED_DEVICE auto bind(const Shape& shape, Index batch, Index head) const {
    auto left = mask::bind(a, shape, batch, head);
    auto right = mask::bind(b, shape, batch, head);
    return Combine<Op, decltype(left), decltype(right)>{left, right};
  }
  template <class Arena>
  auto to_device(Arena& arena) const {
    auto left = mask::to_device(a, arena);
    auto right = mask::to_device(b, arena);
    return Combine<Op, decltype(left), decltype(right)>{left, right};
  }
  void check(const Shape& shape) const {
    mask::check(a, shape);
    mask::check(b, shape);
  }
};

template <class A, class B>
using And = Combine<Intersection, A, B>;
template <class A, class B>
using Or = Combine<Union, A, B>;

template <Mask A>
struct Not {
  A a;

  HEED_DEVICE constexpr bool allows(int i, int j) const requires BoundMask<A> {
    return !a.allows(i, j);
  }
  [[gnu::always_inline]] HEED_DEVICE constexpr Coverage coverage(
      Tile tile) const requires BoundMask<A> {
    const Coverage inner = a.coverage(tile);
    if (inner == Coverage::Partial) return inner;
    return inner == Coverage::Full ? Coverage::Empty : Coverage::Full;
  }
  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed,
                                   Index stride) const requires FillsTiles<A> {
    mask::fill(a, tile, allowed, stride);
    const int keys = tile.k_end - tile.k_begin;
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      for (int c = 0; c < keys; ++c) allowed[c] ^= 1;
    }
  }
  bool whole_tiles() const requires BoundMask<A> { return mask::whole_tiles(a); }
  void cover(const CoverageGrid& grid, std::uint8_t* found,
             Index stride) const requires CoversGrid<A> {
    mask::cover(a, grid, found, stride);
    for (int r = 0; r < grid.rows(); ++r, found += stride) {
      for (int c = 0; c < grid.columns(); ++c) found[c] = static_cast<std::uint8_t>(2 - found[c]);
    }
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

// A tensor is not a mask by itself: the compile error says how it becomes one.
template <class X>
consteval None refuse_tensor() {
  static_assert(!HoldsNumbers<X>,
                "heed: a tensor stands beside &, | or ~ of masks: nonzero attends: mask::dense(t), "
                "and of [B, Lk] mask::dense(t, mask::axes::keys); added to the score: "
                "score::bias(t), after the mask");
  return {};
}
template <HoldsNumbers A, MaskLike B>
requires(!MaskLike<A>) constexpr None operator&(const A&, const B&) { return refuse_tensor<A>(); }
template <MaskLike A, HoldsNumbers B>
requires(!MaskLike<B>) constexpr None operator&(const A&, const B&) { return refuse_tensor<B>(); }
template <HoldsNumbers A, MaskLike B>
requires(!MaskLike<A>) constexpr None operator|(const A&, const B&) { return refuse_tensor<A>(); }
template <MaskLike A, HoldsNumbers B>
requires(!MaskLike<B>) constexpr None operator|(const A&, const B&) { return refuse_tensor<B>(); }
template <HoldsNumbers A>
requires(!MaskLike<A>) constexpr None operator~(const A&) { return refuse_tensor<A>(); }

}  // namespace HEED_ABI
}  // namespace heed::mask

namespace heed {
using mask::operator~;  // of a View, whose namespace this is
}  // namespace heed
