// Layouts: how the elements of a test's tensors lie in memory.
#pragma once

#include "heed/core/types.hpp"

namespace heed::test {

enum class Layout {
  packed,
  gaps,  // between rows
  blhd,  // tensors of rank 4 alone: [B, L, H, D] in memory
  column_gaps,
  transposed,
  transposed_gaps,
  rows_reversed,
  columns_reversed,
  transposed_reversed,
  same_rows,    // the stride of rows is 0: inputs only
  same_columns  // that of columns is
};

// Layouts of a matrix.
inline constexpr Layout readable[] = {Layout::packed,           Layout::gaps,
                                      Layout::column_gaps,      Layout::transposed,
                                      Layout::transposed_gaps,  Layout::rows_reversed,
                                      Layout::columns_reversed, Layout::transposed_reversed,
                                      Layout::same_rows,        Layout::same_columns};

inline constexpr Layout writable[] = {Layout::packed,           Layout::gaps,
                                      Layout::column_gaps,      Layout::transposed,
                                      Layout::transposed_gaps,  Layout::rows_reversed,
                                      Layout::columns_reversed, Layout::transposed_reversed};

struct Strides {
  Index row, column;
};

// Strides of a matrix [rows, columns].
inline Strides strides_of(Layout layout, Index rows, Index columns) {
  switch (layout) {
    case Layout::packed:
    case Layout::blhd:
      return {columns, 1};
    case Layout::gaps:
      return {columns + 3, 1};
    case Layout::column_gaps:
      return {2 * columns + 1, 2};
    case Layout::transposed:
      return {1, rows};
    case Layout::transposed_gaps:
      return {1, rows + 5};
    case Layout::rows_reversed:
      return {-columns, 1};
    case Layout::columns_reversed:
      return {columns, -1};
    case Layout::transposed_reversed:
      return {-1, rows};
    case Layout::same_rows:
      return {0, 1};
    case Layout::same_columns:
      return {1, 0};
  }
  return {};
}

}  // namespace heed::test
