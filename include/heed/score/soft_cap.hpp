// s becomes cap·tanh(s / cap): scores stay within ±cap.
// Gemma 2 (2024), section 2, "logit soft-capping".
#pragma once

#include <limits>
#include <string>

#include "heed/core/elementary.hpp"
#include "heed/core/error.hpp"
#include "heed/score/score.hpp"

namespace heed::score {

struct SoftCap {
  double cap;

  template <class R>
  [[gnu::always_inline]] HEED_DEVICE inline R value(R s, int, int) const {
    return soft_limited(s, static_cast<R>(cap));
  }
  template <class R>
  [[gnu::always_inline]] HEED_DEVICE inline R derivative(R s, int, int) const {
    const R t = tanh_of(s / static_cast<R>(cap));
    return R(1) - t * t;
  }
};

inline namespace HEED_ABI {

// Throws heed::Error unless cap is positive and within what a float can hold: scores of float
// tensors are capped in float, where 1e39 is inf and inf·tanh(s / inf) is NaN.
inline SoftCap soft_cap(double cap) {
  using Float = std::numeric_limits<float>;
  if (!is_finite(cap) || cap < static_cast<double>(Float::min()) ||
      cap > static_cast<double>(Float::max())) {
    throw Error("heed::score::soft_cap: the cap " + std::to_string(cap) +
                " is not a positive, finite float");
  }
  return {cap};
}

}  // namespace HEED_ABI
}  // namespace heed::score
