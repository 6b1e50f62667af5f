// Softmax state of a row: running maximum m and sum l of natural logits.
// Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018).
#pragma once

#include <cmath>
#include <limits>

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"

namespace heed::softmax {

// Scores are kept as they are, in natural logits: a factor log2 e before the maximum is subtracted
// would be rounded with the score's own size, and overflow beyond 2.3e38 in float.
template <class R>
struct Row {
  R max = std::numeric_limits<R>::lowest();  // of the scores seen so far
  R sum = 0;                                 // of exp(score − max)

  // A row that has seen a key has a sum of at least 1, or NaN.
  constexpr bool fully_masked() const { return sum == R(0); }

  // Natural log of the sum of exp(score); −inf for a fully masked row.
  R lse() const { return mask_if(fully_masked(), max + std::log(sum)); }
};

template <class R>
struct Merged {
  Row<R> row;    // of the keys of both
  R of_a, of_b;  // what was summed under the maximum of a, or of b, is to be multiplied by this
};

inline namespace HEED_ABI {

template <class R>
Merged<R> merge(const Row<R>& a, const Row<R>& b) {
  const bool b_is_lower = a.max > b.max;
  const R of_lower = std::exp(b_is_lower ? b.max - a.max : a.max - b.max);
  const R of_a = b_is_lower ? R(1) : of_lower;
  const R of_b = b_is_lower ? of_lower : R(1);
  return {{b_is_lower ? a.max : b.max, a.sum * of_a + b.sum * of_b}, of_a, of_b};
}

// A sink joins a row: one more score, whose value is 0; −inf is no sink. Returns the factor of what
// was summed under the maximum. It is 1 unless the sink is far above that, which stays then.
template <class R>
R join_sink(Row<R>& row, R sink) {
  constexpr R far = 64;
  if (is_masked(sink)) return R(1);
  if (row.fully_masked()) {
    row = {sink, R(1)};
    return R(1);
  }
  const R above = sink - row.max;
  if (above <= far) {
    row.sum += std::exp(above);
    return R(1);
  }
  const R of_row = std::exp(-above);
  row = {sink, row.sum * of_row + R(1) + R(0) * sink};  // NaN for a sink of NaN or infinity
  return of_row;
}

}  // namespace HEED_ABI
}  // namespace heed::softmax
