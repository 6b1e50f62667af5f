// Cells: a matrix made ready to look at, whatever it was before: its values as double, few enough
// for a picture, with the range of the finite ones and a count of the others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/eigen.hpp"
#include "heed/core/tensor.hpp"
#include "heed/core/types.hpp"
#include "heed/core/view.hpp"
#include "heed/plot/summary.hpp"

namespace heed::plot {

struct Range {
  double low = 0, high = 1;
};

// Row-major values [rows, columns]; a cell may stand for a block of the matrix it came from.
struct Cells {
  Index matrix_rows = 0, matrix_columns = 0;
  std::size_t rows = 0, columns = 0;
  std::vector<double> values = {};
  Summary summary = {};  // of the matrix, not of the cells

  double at(std::size_t row, std::size_t column) const { return values[row * columns + column]; }
};

// A rank-2 tensor of any number type: a View, an Eigen matrix, map or block, an Eigen tensor.
template <class X>
concept Matrix = TensorLike<X> &&(rank_of<X> == 2);

inline namespace HEED_ABI {

namespace sample {

// A block shows as the mean of its finite values, but a NaN in it is never averaged away; an
// infinity shows only where the block holds nothing finite.
struct Block {
  double mean = 0, special = 0;
  Index finite = 0;

  void add(double value) {
    if (is_finite(value)) {
      const auto count = static_cast<double>(++finite);
      mean += value / count - mean / count;  // a sum could overflow
    } else if (!is_nan(special)) {
      special = value;
    }
  }

  double shown() const { return finite == 0 || is_nan(special) ? special : mean; }
};

}  // namespace sample

// At most `limit` cells a side; larger matrices are reduced block by block. O(rows · columns) time.
template <Matrix M>
Cells cells_of(const M& matrix, Index limit = 1024) {
  Cells cells;
  const auto view = view_of(matrix);
  cells.matrix_rows = view.extent[0];
  cells.matrix_columns = view.extent[1];
  const Index rows = std::min(cells.matrix_rows, limit);
  const Index columns = std::min(cells.matrix_columns, limit);
  cells.rows = static_cast<std::size_t>(rows);
  cells.columns = static_cast<std::size_t>(columns);
  std::vector<sample::Block> blocks(cells.rows * cells.columns);
  for (Index i = 0; i < cells.matrix_rows; ++i) {
    const auto row = static_cast<std::size_t>(i * rows / cells.matrix_rows);
    for (Index j = 0; j < cells.matrix_columns; ++j) {
      const auto column = static_cast<std::size_t>(j * columns / cells.matrix_columns);
      const auto value = static_cast<double>(view(i, j));
      cells.summary.add(value);
      blocks[row * cells.columns + column].add(value);
    }
  }
  for (const sample::Block& block : blocks) cells.values.push_back(block.shown());
  return cells;
}

}  // namespace HEED_ABI
}  // namespace heed::plot
