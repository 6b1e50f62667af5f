// Dynamic loss scaling: gradients that a half type would round to 0 are computed from a larger
// loss. Micikevicius et al., "Mixed Precision Training" (2018), section 3.2.
#pragma once

#include "heed/train/progress.hpp"
#include "heed/train/update.hpp"

namespace heed::train {

// The objective's gradients are those of scale · loss, and are divided by it before they are
// clipped. Where one is not finite, the scale is halved and the step computed again. Powers of 2:
// then gradients that are neither very small nor very large keep their bits.
struct LossScale {
  double start = 65536;
  double least = 1;
  Index grow_after = 2000;  // steps without an overflow; then the scale doubles
  double most = 0x1p40;     // it grows no further: gradients that are 0 never overflow
};

inline namespace HEED_ABI {

// Throws heed::Error for an option outside its range.
inline void check_loss_scale(const LossScale& options) {
  constexpr const char* call = "heed::train::LossScale";
  constexpr double most = 1e300;
  check_range(call, "least", options.least, 1e-300, most);
  check_range(call, "start", options.start, options.least, most);
  check_range(call, "most", options.most, options.start, most);
  check_range(call, "grow_after", static_cast<double>(options.grow_after), 1, most);
}

// After an overflow: false where the scale is already as small as it may be.
inline bool halve_scale(Progress& progress, const LossScale& options) {
  if (!(progress.loss_scale > options.least)) return false;
  const double half = progress.loss_scale / 2;
  progress.loss_scale = is_finite(half) ? std::max(half, options.least) : options.start;
  progress.steps_at_scale = 0;
  return true;
}

// After a step without.
inline void count_scaled_step(Progress& progress, const LossScale& options) {
  if (++progress.steps_at_scale < options.grow_after) return;
  if (2 * progress.loss_scale <= options.most) progress.loss_scale *= 2;
  progress.steps_at_scale = 0;
}

}  // namespace HEED_ABI
}  // namespace heed::train
