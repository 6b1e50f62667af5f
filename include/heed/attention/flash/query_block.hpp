// The queries that one task computes: some of one head, or all of several heads of a group, which
// share their keys and values.
#pragma once

#include <algorithm>

#include "heed/core/shape.hpp"

namespace heed {

// Heads of a task at most, as many as latent attention has for its one key head.
inline constexpr int max_task_heads = 128;

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

// f(head, row, q_begin, q_end) for each segment of [first, last) that lies in one head; `row` is
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

}  // namespace HEED_ABI
}  // namespace heed
