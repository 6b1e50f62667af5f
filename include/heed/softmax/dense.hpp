// The softmax of a whole row at once.
#pragma once

#include "heed/softmax/online.hpp"

namespace heed::softmax {

inline namespace HEED_ABI {

// Scores become weights that sum to 1 (0 for a row that sees no key); returns their log-sum-exp.
template <class R>
R dense(R* scores, int count) {
  Row<R> row;
  update(row, scores, count);
  if (!row.blind()) {
    for (int c = 0; c < count; ++c) scores[c] /= row.sum;
  }
  return row.lse();
}

}  // namespace HEED_ABI
}  // namespace heed::softmax
