// The learning rate of a step.
#pragma once

#include <cmath>
#include <numbers>

#include "heed/core/types.hpp"

namespace heed::train {

// Rises linearly over `warmup` steps to `peak`, then falls as a half cosine to `last` at step
// `total`, where it stays. Loshchilov and Hutter, "SGDR" (2017), equation 5.
struct CosineWithWarmup {
  double peak;
  Index warmup;
  Index total;
  double last = 0;

  // Of step 0, 1, …; step 0 has peak / warmup.
  double operator()(Index step) const {
    if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
    if (step >= total) return last;
    const double part = static_cast<double>(step - warmup) / static_cast<double>(total - warmup);
    return last + (peak - last) * (1 + std::cos(std::numbers::pi * part)) / 2;
  }
};

}  // namespace heed::train
