// The running softmax of one row: keys come in pieces, nothing but a maximum and a sum is kept.
// Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018), Algorithm 3.
#pragma once

#include <cmath>
#include <limits>

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"

namespace heed::softmax {

template <class R>
struct Row {
  R max = std::numeric_limits<R>::lowest();  // of the scores seen so far
  R sum = 0;                                 // of exp(score − max)

  // A row that has seen a key has a sum of at least 1, or NaN.
  constexpr bool blind() const { return sum == R(0); }

  // Natural log of the sum of exp(score); −inf for a blind row.
  R lse() const { return mask_if(blind(), max + std::log(sum)); }
};

inline namespace HEED_ABI {

// Takes in `count` scores and leaves exp(score − max) in their place, exactly 0 for masked ones.
// Returns the factor for whatever was summed under the previous maximum; 1 where that still holds.
template <class R>
R update(Row<R>& row, R* scores, int count) {
  R highest = row.max;
  for (int c = 0; c < count; ++c) {
    const R score = is_masked(scores[c]) ? row.max : scores[c];
    highest = score > highest ? score : highest;
  }
  const R shrink = highest > row.max ? std::exp(row.max - highest) : R(1);
  R sum = 0;
  for (int c = 0; c < count; ++c) {
    scores[c] = is_masked(scores[c]) ? R(0) : std::exp(scores[c] - highest);
    sum += scores[c];
  }
  row.sum = row.sum * shrink + sum;
  row.max = highest;
  return shrink;
}

}  // namespace HEED_ABI
}  // namespace heed::softmax
