// Rows of a [B, H, L, D] tensor one after another, what fills them, and copies into another element
// type.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/view.hpp"

namespace heed {
inline namespace HEED_ABI {

// f(b, h, i) for each row, in ascending order.
template <class T, class F>
void for_each_row(const View<T, 4>& x, F&& f) {
  for (Index b = 0; b < x.extent[0]; ++b) {
    for (Index h = 0; h < x.extent[1]; ++h) {
      for (Index i = 0; i < x.extent[2]; ++i) f(b, h, i);
    }
  }
}

// All elements of x become `value`.
template <class T>
void fill(const View<T, 2>& x, T value) {
  for (Index r = 0; r < x.extent[0]; ++r) {
    for (Index d = 0; d < x.extent[1]; ++d) x(r, d) = value;
  }
}

// to = from, element by element, converted to to's type.
template <class S, class T>
void copy(const View<S, 4>& from, const View<T, 4>& to) {
  for_each_row(to, [&](Index b, Index h, Index i) {
    for (Index d = 0; d < to.extent[3]; ++d) to(b, h, i, d) = static_cast<T>(from(b, h, i, d));
  });
}

}  // namespace HEED_ABI
}  // namespace heed
