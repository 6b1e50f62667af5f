// Shapes of calls for tests of masks and scores, which ask for batch, heads and lengths only.
#pragma once

#include "heed/core/shape.hpp"

namespace heed::test {

inline constexpr int longest = 2147483647;  // 2^31 − 1, the longest sequence

inline Shape scores_shape(Index B, Index H, Index Lq, Index Lk, int rank = 4) {
  return {.B = B, .Hq = H, .Hkv = H, .Lq = Lq, .Lk = Lk, .D = 8, .Dv = 8, .rank = rank};
}

// Queries and keys of one head.
inline Shape scores_shape(Index Lq, Index Lk) { return scores_shape(1, 1, Lq, Lk); }

}  // namespace heed::test
