// Tiles of one size in rows and columns, all asked at once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "heed/mask/mask.hpp"

namespace heed::mask {

// Queries [q_begin, q_end) by keys [k_begin, k_end) in cells of `height` queries by `width`
// keys; the last of each may be smaller.
struct CoverageGrid {
  int q_begin, q_end, height;
  int k_begin, k_end, width;

  int rows() const { return count(q_begin, q_end, height); }
  int columns() const { return count(k_begin, k_end, width); }
  Tile tile() const { return {q_begin, q_end, k_begin, k_end}; }
  // Rows [first, last) of the grid, or columns.
  [[gnu::always_inline]] CoverageGrid of_rows(int first, int last) const {
    CoverageGrid part = *this;
    part.q_begin = q_begin + first * height;
    if (last < rows()) part.q_end = q_begin + last * height;
    return part;
  }
  [[gnu::always_inline]] CoverageGrid of_columns(int first, int last) const {
    CoverageGrid part = *this;
    part.k_begin = k_begin + first * width;
    if (last < columns()) part.k_end = k_begin + last * width;
    return part;
  }

 private:
  // In 64 bits: a length may be 2³¹ − 1.
  static int count(int begin, int end, int size) {
    return static_cast<int>((Index{end} - begin + size - 1) / size);
  }
};

// A mask that knows many cells sooner than one after the other.
template <class M>
concept CoversGrid = BoundMask<M> &&
    requires(const M& mask, const CoverageGrid& grid, std::uint8_t* found, Index stride) {
  mask.cover(grid, found, stride);
};

inline namespace HEED_ABI {

// found[r · stride + c] = Coverage of cell c of row r. Halves the longer side until a part is Empty
// or Full as a whole: the costs are those of the border between them.
template <BoundMask M>
void cover(const M& mask, const CoverageGrid& grid, std::uint8_t* found, Index stride) {
  if constexpr (CoversGrid<M>) {
    mask.cover(grid, found, stride);
  } else {
    const int rows = grid.rows(), columns = grid.columns();
    const Coverage whole = mask.coverage(grid.tile());
    if (whole != Coverage::Partial || rows * Index{columns} == 1) {
      for (int r = 0; r < rows; ++r) {
        std::fill_n(found + r * stride, columns, static_cast<std::uint8_t>(whole));
      }
    } else if (rows > columns) {
      cover(mask, grid.of_rows(0, rows / 2), found, stride);
      cover(mask, grid.of_rows(rows / 2, rows), found + rows / 2 * stride, stride);
    } else {
      cover(mask, grid.of_columns(0, columns / 2), found, stride);
      cover(mask, grid.of_columns(columns / 2, columns), found + columns / 2, stride);
    }
  }
}

// found[r · stride + c] = combine(found[…], Coverage of cell c of row r).
template <BoundMask M, class Combine>
void combine_coverage(const M& mask, const CoverageGrid& grid, std::uint8_t* found, Index stride,
                      const Combine& combine) {
  constexpr int run = 64;
  std::uint8_t other[run];
  const int columns = grid.columns();
  for (int r = 0; r < grid.rows(); ++r, found += stride) {
    const CoverageGrid row = grid.of_rows(r, r + 1);
    for (int first = 0, last = 0; first < columns; first = last) {
      last = first + std::min(run, columns - first);
      cover(mask, row.of_columns(first, last), other, run);
      for (int c = first; c < last; ++c) found[c] = combine(found[c], other[c - first]);
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed::mask
