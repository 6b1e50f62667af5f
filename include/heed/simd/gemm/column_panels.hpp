// Columns in panels of equal width, none of which is cut, as caches keep keys: [panels, K, width].
#pragma once

#include "heed/core/view.hpp"
#include "heed/simd/vector.hpp"

namespace heed::simd {

// x(k, j). It alone knows where an element lies.
template <class T>
struct ColumnPanels {
  T* data;
  Index k;      // elements of a column
  Index width;  // columns of a panel

  HEED_INLINE static constexpr Index panels(Index columns, Index width) {
    return (columns + width - 1) / width;
  }
  HEED_INLINE static Index size(Index columns, Index k, Index width) {
    return checked_product(panels(columns, width) * width, k);
  }

  HEED_INLINE constexpr T* panel(Index p) const { return data + p * k * width; }
  HEED_INLINE constexpr T* panel_of(Index j) const { return panel(j / width); }
  // Column j in its panel, and the columns of that panel from j on.
  HEED_INLINE constexpr Index place(Index j) const { return j % width; }
  HEED_INLINE constexpr Index left(Index j) const { return width - place(j); }
  // The first element of column j; the next one lies `width` further.
  HEED_INLINE constexpr T* column(Index j) const { return panel_of(j) + place(j); }
  HEED_INLINE constexpr T& at(Index row, Index j) const { return column(j)[row * width]; }
  // A panel a row.
  HEED_INLINE constexpr View<T, 2> as_rows(Index count) const {
    return {data, {count, k * width}, {k * width, 1}};
  }
};

}  // namespace heed::simd
