// Position embeddings from a trained table: position p is row p.
// Gehring et al., "Convolutional Sequence to Sequence Learning" (2017), section 3.1.
#pragma once

#include <string>

#include "heed/core/check.hpp"
#include "heed/core/tensor.hpp"

namespace heed::position {

inline namespace HEED_ABI {

// Rows offset … offset + L − 1 of a table [max_len, D], as a view [L, D] of it.
//
// Throws heed::Error where a position is not in the table: nothing is known about it.
template <TensorLike Table>
View<const ScalarOf<Table>, 2> learned(const Table& table, Index L, Index offset = 0) {
  static_assert(rank_of<Table> == 2, "heed::position::learned: the table is [max_len, D]");
  auto rows = view_of(table);
  if (L < 0 || offset < 0 || offset > rows.extent[0] || L > rows.extent[0] - offset) {
    throw Error("heed::position::learned: positions " + std::to_string(offset) + " … " +
                std::to_string(offset + L - 1) + " of a table of " +
                std::to_string(rows.extent[0]));
  }
  if (L > 0) rows.data += offset * rows.stride[0];
  rows.extent[0] = L;
  return rows;
}

}  // namespace HEED_ABI
}  // namespace heed::position
