// The tasks of a call, and the order in which blocks take them.
#pragma once

#include "heed/core/shape.hpp"

namespace heed::cuda {

struct Task {
  int b, h;
  int q_begin;
  int v_begin;  // first of the value's dimensions that this block computes
};

// Tiles of one head times heads. Under a causal mask the last queries see most keys, so their tiles
// come first; the heads of one tile come together and share keys in the cache.
struct TileScheduler {
  Index heads, queries, values, B_stride;
  int q_step, v_step;

  HEED_DEVICE static TileScheduler of(const Shape& shape, int q_step, int v_step) {
    return {shape.B * shape.Hq,
            (shape.Lq + q_step - 1) / q_step,
            shape.Dv == 0 ? 1 : (shape.Dv + v_step - 1) / v_step,
            shape.Hq,
            q_step,
            v_step};
  }
  HEED_DEVICE Index count() const { return heads * queries * values; }

  HEED_DEVICE Task operator[](Index n) const {
    const Index head = n % heads;
    const Index rest = n / heads;
    return {static_cast<int>(head / B_stride), static_cast<int>(head % B_stride),
            static_cast<int>((queries - 1 - rest / values) * q_step),
            static_cast<int>(rest % values * v_step)};
  }
};

}  // namespace heed::cuda
