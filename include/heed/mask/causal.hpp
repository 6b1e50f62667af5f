// Each query sees the keys up to its own position.
#pragma once

#include "heed/mask/band.hpp"

namespace heed::mask {

struct Causal {
  align alignment = align::end;

  HEED_DEVICE constexpr Band bind(const Shape& shape, Index, Index) const {
    constexpr Index all = Index{1} << 33;  // keys, wherever the queries stand
    return Band::around(query_0_position(alignment, shape), all, 0);
  }
};

inline namespace HEED_ABI {

// Query i sees keys 0 … i + Lk − Lq; with align::start, keys 0 … i (torch's is_causal).
constexpr Causal causal(align alignment = align::end) { return {alignment}; }

}  // namespace HEED_ABI
}  // namespace heed::mask
