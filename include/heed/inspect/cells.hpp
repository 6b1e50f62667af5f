// Cells: a matrix made ready to look at, whatever it was before: its values as double, few enough
// for a picture, with the range of the finite ones and a count of the others.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "heed/core/abi.hpp"

namespace heed::inspect {

struct Range {
  double low = 0, high = 1;
};

// Row-major values [rows, columns]; a cell may stand for a block of the matrix it came from.
struct Cells {
  std::int64_t matrix_rows = 0, matrix_columns = 0;
  std::size_t rows = 0, columns = 0;
  std::vector<double> values = {};
  Range finite{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  std::int64_t nan = 0, plus_infinity = 0, minus_infinity = 0;  // in the matrix, not in the cells

  double at(std::size_t row, std::size_t column) const { return values[row * columns + column]; }
  bool has_finite() const { return finite.low <= finite.high; }
};

// m(i, j) is a number, and the shape is known the way views, Eigen matrices or tensors say it.
template <class M>
concept Extents = requires(const M& m) {
  { m.extent(0) } -> std::convertible_to<std::int64_t>;
};
template <class M>
concept RowsAndCols = requires(const M& m) {
  { m.rows() } -> std::convertible_to<std::int64_t>;
  { m.cols() } -> std::convertible_to<std::int64_t>;
};
template <class M>
concept Dimensions = requires(const M& m) {
  { m.dimension(0) } -> std::convertible_to<std::int64_t>;
};
template <class M>
concept Matrix = (Extents<M> || RowsAndCols<M> || Dimensions<M>)&&requires(const M& m) {
  static_cast<double>(m(0, 0));
};

inline namespace HEED_ABI {

template <Matrix M>
std::int64_t rows_of(const M& matrix) {
  if constexpr (RowsAndCols<M>) {
    return static_cast<std::int64_t>(matrix.rows());
  } else if constexpr (Extents<M>) {
    return static_cast<std::int64_t>(matrix.extent(0));
  } else {
    return static_cast<std::int64_t>(matrix.dimension(0));
  }
}

template <Matrix M>
std::int64_t columns_of(const M& matrix) {
  if constexpr (RowsAndCols<M>) {
    return static_cast<std::int64_t>(matrix.cols());
  } else if constexpr (Extents<M>) {
    return static_cast<std::int64_t>(matrix.extent(1));
  } else {
    return static_cast<std::int64_t>(matrix.dimension(1));
  }
}

namespace sample {

// A block shows as the mean of its finite values, but a NaN in it is never averaged away; an
// infinity shows only where the block holds nothing finite.
struct Block {
  double sum = 0, special = 0;
  std::int64_t finite = 0;

  void add(double value) {
    if (std::isfinite(value)) {
      sum += value;
      ++finite;
    } else if (!std::isnan(special)) {
      special = value;
    }
  }

  double shown() const {
    return finite == 0 || std::isnan(special) ? special : sum / static_cast<double>(finite);
  }
};

inline void count(Cells& cells, double value) {
  if (std::isnan(value)) {
    ++cells.nan;
  } else if (std::isinf(value)) {
    ++(value > 0 ? cells.plus_infinity : cells.minus_infinity);
  } else {
    cells.finite.low = std::min(cells.finite.low, value);
    cells.finite.high = std::max(cells.finite.high, value);
  }
}

}  // namespace sample

// At most `limit` cells a side; larger matrices are reduced block by block. O(rows · columns) time.
template <Matrix M>
Cells cells_of(const M& matrix, std::int64_t limit = 1024) {
  Cells cells;
  cells.matrix_rows = rows_of(matrix);
  cells.matrix_columns = columns_of(matrix);
  const std::int64_t rows = std::min(cells.matrix_rows, limit);
  const std::int64_t columns = std::min(cells.matrix_columns, limit);
  cells.rows = static_cast<std::size_t>(rows);
  cells.columns = static_cast<std::size_t>(columns);
  std::vector<sample::Block> blocks(cells.rows * cells.columns);
  for (std::int64_t i = 0; i < cells.matrix_rows; ++i) {
    const auto row = static_cast<std::size_t>(i * rows / cells.matrix_rows);
    for (std::int64_t j = 0; j < cells.matrix_columns; ++j) {
      const auto column = static_cast<std::size_t>(j * columns / cells.matrix_columns);
      const auto value = static_cast<double>(matrix(i, j));
      sample::count(cells, value);
      blocks[row * cells.columns + column].add(value);
    }
  }
  for (const sample::Block& block : blocks) cells.values.push_back(block.shown());
  return cells;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
