// The mask contract: which (query, key) pairs may attend, and what a whole tile looks like.
//
// A mask answers two questions. `allows(i, j)` is the definition. `coverage(tile)` is the
// shortcut: kernels skip Empty tiles, run Full tiles without asking, and test only Partial ones.
// Partial is always a legal answer; a wrong Full or Empty is a bug (tests/mask/law_test.cpp).
//
// A mask that depends on the shape, the batch or the head answers after `bind(shape, b, h)`, h the
// query head; what it returns may refer to the mask, which must stay. `check(shape)`, where there
// is one, throws heed::Error before anything is computed. A user's mask is any type that does this;
// a callable (i, j) or (b, h, i, j) -> bool is one too.
//
// A mask may know more: `fill` a tile at once (below), and whether that pays for several rows
// together, `whole_tiles`; `cover` many tiles at once (coverage_grid.hpp); or that it steps over
// keys, `key_stride` and `coverage_of_every` (key_stride.hpp).
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include "heed/core/bindable.hpp"
#include "heed/core/device.hpp"
#include "heed/core/shape.hpp"
#include "heed/core/tensor.hpp"

namespace heed::mask {

using bindable::bind;
using bindable::check;

// Half-open rectangle of scores: queries [q_begin, q_end) by keys [k_begin, k_end). Never empty.
struct Tile {
  int q_begin, q_end;
  int k_begin, k_end;
};

enum class Coverage { Empty, Partial, Full };

template <class M>
concept BoundMask = requires(const M& mask, int i, int j, Tile tile) {
  { mask.allows(i, j) } -> std::same_as<bool>;
  { mask.coverage(tile) } -> std::same_as<Coverage>;
};

template <class M>
concept BindableMask = requires(const M& mask, const Shape& shape, Index b, Index h) {
  { mask.bind(shape, b, h) } -> BoundMask;
};

template <class M>
concept Mask = BoundMask<M> || BindableMask<M>;

// Answers yes or no: bool, an integer or a proxy of one. A float may be a score, and −inf is not 0.
template <class Answer>
concept YesOrNo =
    std::convertible_to<Answer, bool> && !std::is_floating_point_v<std::remove_cvref_t<Answer>>;

// A copy of the function is asked from several threads. A tensor may be callable, and is none.
template <class F, class... Place>
concept MaskFunction =
    !Mask<F> && !HoldsNumbers<F> && std::copy_constructible<std::decay_t<F>> &&
    std::is_invocable_v<const F&, Place...> && YesOrNo<std::invoke_result_t<const F&, Place...>>;

template <class F>
concept MaskOfPair = MaskFunction<F, int, int>;

template <class F>
concept MaskOfPlace = MaskFunction<F, int, int, int, int>;

template <class M>
concept MaskLike = Mask<M> || MaskOfPair<M> || MaskOfPlace<M>;

// Every query sees every key.
struct None {
  HEED_DEVICE constexpr bool allows(int, int) const { return true; }
  HEED_DEVICE constexpr Coverage coverage(Tile) const { return Coverage::Full; }
};

inline namespace HEED_ABI {

// A callable bound to a batch and a head. All its tiles are Partial: nothing is skipped.
template <class F>
struct BoundPredicate {
  const F* function;
  int b, h;

  bool allows(int i, int j) const {
    if constexpr (MaskOfPair<F>)
      return (*function)(i, j);
    else
      return (*function)(b, h, i, j);
  }
  Coverage coverage(Tile) const { return Coverage::Partial; }
};

}  // namespace HEED_ABI

template <class F>
struct Predicate {
  F function;

  BoundPredicate<F> bind(const Shape&, Index b, Index h) const {
    return {&function, static_cast<int>(b), static_cast<int>(h)};
  }
};

inline namespace HEED_ABI {

// No mask, for where a macro of another header is called None.
constexpr None none() { return {}; }

// A mask as it is; a callable as a mask.
template <Mask M>
constexpr const M& as_mask(const M& mask) {
  return mask;
}
template <class F>
requires MaskOfPair<F> || MaskOfPlace<F>
constexpr Predicate<std::decay_t<F>> as_mask(const F& function) { return {function}; }

// allowed[r · stride + c] = 1 where query q_begin + r sees key k_begin + c, else 0.
template <BoundMask M>
[[gnu::always_inline]] inline void fill(const M& mask, Tile tile, std::uint8_t* allowed,
                                        Index stride) {
  if constexpr (requires { mask.fill(tile, allowed, stride); }) {
    mask.fill(tile, allowed, stride);
  } else {
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      for (int j = tile.k_begin; j < tile.k_end; ++j) {
        allowed[j - tile.k_begin] = mask.allows(i, j) ? 1 : 0;
      }
    }
  }
}

// True where a tile is filled faster at once than row by row.
template <BoundMask M>
[[gnu::always_inline]] inline bool whole_tiles(const M& mask) {
  if constexpr (requires { mask.whole_tiles(); })
    return mask.whole_tiles();
  else
    return false;
}

}  // namespace HEED_ABI
}  // namespace heed::mask
