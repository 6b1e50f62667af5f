// The rotation frequency of each pair of features.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "heed/core/error.hpp"
#include "heed/core/types.hpp"
#include "heed/position/rope_scaling.hpp"
#include "heed/position/sinusoidal.hpp"

namespace heed::position {

struct RopeFrequencies {
  std::vector<double> step;  // [pairs], radians a position
  double magnitude = 1;      // of a turned pair
};

inline namespace HEED_ABI {

// The pairs between which YaRN goes from whole steps to divided ones.
struct YarnRamp {
  double begin, end;

  // 1 before the ramp, 0 behind it.
  double kept(Index n) const {
    return 1 - std::clamp((static_cast<double>(n) - begin) / (end - begin), 0.0, 1.0);
  }
};

// A pair turns `turns` times in the old context at n = dim · ln(length / (2π · turns)) / (2 ln
// base).
inline YarnRamp yarn_ramp(const RopeScaling& scaling, Index dim, double base) {
  const auto features = static_cast<double>(dim);
  const auto pair_at = [&](double turns) {
    return features * std::log(scaling.original_length / (2 * std::numbers::pi * turns)) /
           (2 * std::log(base));
  };
  YarnRamp ramp{pair_at(scaling.beta), pair_at(scaling.alpha)};
  if (scaling.truncate) ramp = {std::floor(ramp.begin), std::ceil(ramp.end)};
  ramp.begin = std::max(ramp.begin, 0.0);
  ramp.end = std::min(ramp.end, features - 1);
  ramp.end = std::max(ramp.end, ramp.begin + 0.001);  // a step in place of a ramp of no length
  return ramp;
}

// Throws heed::Error for a base and a number of features that this scaling has no frequencies for.
inline void check_frequencies(const char* call, Index dim, double base,
                              const RopeScaling& scaling) {
  check_base(call, base);
  checked_scaling("rope", scaling);
  const auto refuse = [&](const std::string& text) {
    throw Error(std::string(call) + ": " + text);
  };
  if (dim < 0 || dim % 2 != 0) refuse(std::to_string(dim) + " features to rotate must be even");
  if (scaling.stretch == RopeStretch::ntk_aware && dim == 2) {
    refuse("NTK-aware scaling of 2 features; 4 or more");
  }
  if (scaling.stretch == RopeStretch::yarn && base <= 1) {
    refuse("base " + std::to_string(base) + " is not above 1, as YaRN's must be");
  }
  if (scaling.stretch == RopeStretch::by_pair &&
      static_cast<Index>(scaling.factors.size()) != dim / 2) {
    refuse(std::to_string(scaling.factors.size()) + " factors for " + std::to_string(dim / 2) +
           " pairs");
  }
}

// Of pair n of `dim` rotated features: base^(−2n / dim) radians a position, stretched.
//
//   returns  step [dim / 2]
//
// Throws heed::Error for a base that is not finite and positive (above 1 for YaRN), a dim that is
// negative or odd, for NTK-aware scaling of fewer than 4 features, and where LongRoPE has not a
// factor for each pair.
inline RopeFrequencies rope_frequencies(Index dim, double base = 10'000,
                                        const RopeScaling& scaling = {}) {
  check_frequencies("heed::position::rope", dim, base, scaling);
  if (scaling.stretch == RopeStretch::ntk_aware) {
    base *= std::pow(scaling.factor, static_cast<double>(dim) / static_cast<double>(dim - 2));
  }
  YarnRamp ramp{0, 1};
  if (scaling.stretch == RopeStretch::yarn && dim > 0) ramp = yarn_ramp(scaling, dim, base);
  RopeFrequencies result{std::vector<double>(static_cast<std::size_t>(dim / 2)), scaling.magnitude};
  for (Index n = 0; n < dim / 2; ++n) {
    const auto at = static_cast<std::size_t>(n);
    double kept = 1;  // γ, the share of the step that is not divided
    double step = frequency(n, dim, base);
    switch (scaling.stretch) {
      case RopeStretch::none:
      case RopeStretch::ntk_aware:
        break;
      case RopeStretch::linear:
        kept = 0;
        break;
      case RopeStretch::ntk_by_parts:
        kept = kept_by_parts(scaling, step);
        break;
      case RopeStretch::yarn:
        kept = ramp.kept(n);
        break;
      case RopeStretch::by_pair:
        step /= scaling.factors[at];
        break;
    }
    result.step[at] = (1 - kept) * step / scaling.factor + kept * step;
  }
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::position
