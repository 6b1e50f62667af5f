// The queries that one task computes: some of one head, or all of several heads of a group, which
// share their keys and values.
#pragma once

#include <algorithm>

#include "heed/mask/coverage_grid.hpp"

namespace heed {

// Rows are numbered through: first those of head `first_head`, then those of the next.
struct QueryBlock {
  Index b;
  Index first_head;  // query head
  int heads;
  int q_begin;
  int queries;  // of each head

  int count() const { return heads * queries; }
};

inline namespace HEED_ABI {

// f(head, row, q_begin, q_end) for each stretch of [first, last) that lies in one head; `row` is
// where it starts.
template <class F>
void for_each_head_segment(const QueryBlock& rows, int first, int last, F&& f) {
  last = std::min(last, rows.count());
  for (int row = first; row < last;) {
    const int q_begin = rows.q_begin + row % rows.queries;
    const int count = std::min(last - row, rows.queries - row % rows.queries);
    f(rows.first_head + row / rows.queries, row, q_begin, q_begin + count);
    row += count;
  }
}

// Coverage of rows [first, last) in tiles of `height` rows by `width` keys:
// found[r · columns + c] = Coverage of tile c of tile row r.
template <class M>
void cover_query_block(const M& mask, const Shape& shape, const QueryBlock& rows, int first,
                       int last, int height, int k_begin, int k_end, int width,
                       std::uint8_t* found) {
  const auto grid_of = [&](int q_begin, int q_end) {
    return mask::CoverageGrid{q_begin, q_end, height, k_begin, k_end, width};
  };
  const int columns = grid_of(0, 1).columns();
  if (rows.heads == 1) {
    const auto bound = mask::bind(mask, shape, rows.b, rows.first_head);
    const int end = std::min(last, rows.count());
    return mask::cover(bound, grid_of(rows.q_begin + first, rows.q_begin + end), found, columns);
  }
  for (int row = first; row < last; row += height, found += columns) {
    for_each_head_segment(rows, row, row + height, [&](Index head, int at, int q_begin, int q_end) {
      const auto bound = mask::bind(mask, shape, rows.b, head);
      if (at == row) return mask::cover(bound, grid_of(q_begin, q_end), found, columns);
      const auto both = [](std::uint8_t one, std::uint8_t other) {
        return one == other ? one : static_cast<std::uint8_t>(mask::Coverage::Partial);
      };
      mask::combine_coverage(bound, grid_of(q_begin, q_end), found, columns, both);
    });
  }
}

}  // namespace HEED_ABI
}  // namespace heed
