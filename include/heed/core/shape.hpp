// The dictionary of dimensions. Every name of a size in heed is one of these.
#pragma once

#include "heed/core/device.hpp"
#include "heed/core/types.hpp"

namespace heed {

struct Shape {
  Index B = 0;    // batch
  Index Hq = 0;   // query heads
  Index Hkv = 0;  // key and value heads; Hq % Hkv == 0
  Index Lq = 0;   // queries
  Index Lk = 0;   // keys
  Index D = 0;    // dimension of a query and a key
  Index Dv = 0;   // dimension of a value
  int rank = 4;   // of the tensors as the user passed them: 2 [L, D], 3 [B, L, D], 4 [B, H, L, D]

  // Query heads that share one key head.
  HEED_DEVICE constexpr Index group() const { return Hkv == 0 ? 1 : Hq / Hkv; }

  // Position of query 0 among the keys when both sequences end together.
  HEED_DEVICE constexpr Index end_offset() const { return Lk - Lq; }
};

}  // namespace heed
