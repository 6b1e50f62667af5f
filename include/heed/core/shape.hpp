// The dictionary of dimensions. Every name of a size in heed is one of these.
#pragma once

#include "heed/core/device.hpp"
#include "heed/core/types.hpp"

namespace heed {

struct Shape {
  Index B = 0;      // batch
  Index Hq = 0;     // query heads
  Index Hkv = 0;    // key and value heads; Hq % Hkv == 0
  Index Lq = 0;     // queries
  Index Lk = 0;     // keys
  Index D = 0;      // dimension of a query and a key
  Index Dv = 0;     // dimension of a value
  int rank = 4;     // of the tensors as the user passed them: 2 [L, D], 3 [B, L, D], 4 [B, H, L, D]
  Index shift = 0;  // of the queries, from where both sequences would end together (mask::at)
  Index missing = 0;  // keys at the end of Lk that a batch entry of a ragged source does not have

  // Query heads that share one key head.
  HEED_DEVICE constexpr Index group() const { return Hkv == 0 ? 1 : Hq / Hkv; }

  // Keys that there are.
  HEED_DEVICE constexpr Index keys() const { return Lk - missing; }

  // Position of query 0 among the keys: both sequences end together, unless `at` moved it.
  HEED_DEVICE constexpr Index end_offset() const { return Lk - Lq + shift; }

  // The same shape with query 0 at a given position.
  HEED_DEVICE constexpr Shape at(Index position) const {
    Shape moved = *this;
    moved.shift = position - (Lk - Lq);
    return moved;
  }
  // The shape of a part of the scores, as of a call of its own.
  HEED_DEVICE constexpr Shape part(Index queries, Index keys) const {
    Shape own = *this;
    own.Lq = queries;
    own.Lk = keys;
    own.shift = 0;
    own.missing = 0;
    return own;
  }
};

}  // namespace heed
