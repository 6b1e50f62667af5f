// Each query head with a mask of its own.
#pragma once

#include <iterator>
#include <string>
#include <type_traits>

#include "heed/core/error.hpp"
#include "heed/core/span.hpp"
#include "heed/mask/any.hpp"

namespace heed::mask {

template <Mask M>
struct PerHead {
  Span<M> masks;  // [Hq]

  HEED_DEVICE auto bind(const Shape& shape, Index b, Index h) const {
    return mask::bind(masks[h], shape, b, h);
  }

  template <class Arena>
  PerHead to_device(Arena& arena) const {
    static_assert(
        std::is_trivially_copyable_v<M> && !requires { masks[0].to_device(arena); },
        "heed::mask::per_head: on a device, the masks of the heads must be of one type "
        "that refers to no memory");
    return {arena.copy(masks)};
  }

  [[gnu::always_inline]] void check(const Shape& shape) const {
    if (masks.size() != shape.Hq) {
      throw Error("heed::mask::per_head: " + std::to_string(masks.size()) + " masks for " +
                  std::to_string(shape.Hq) + " query heads");
    }
    for (const M& mask : masks) mask::check(mask, shape);
  }
};

inline namespace HEED_ABI {

// Refers to `masks`, one per query head: they must outlive the mask. Masks of one type, windows of
// several widths for example, are inlined; mask::any mixes types.
template <Borrowed Masks>
auto per_head(Masks&& masks) {
  using M = std::remove_cvref_t<decltype(*std::data(masks))>;
  static_assert(Mask<M>, "heed::mask::per_head: wants a vector, array or span of masks");
  return PerHead<M>{BorrowedSpan<M>(masks)};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
