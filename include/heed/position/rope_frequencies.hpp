// How fast each pair of features turns, and how that is stretched for contexts longer than a model
// was trained on.
//
//   linear        Chen et al., "Extending Context Window … via Positional Interpolation" (2023)
//   NTK-aware     Peng et al., "YaRN" (2023), definition 1
//   NTK by parts  the same, definition 2
//   YaRN          the same, definition 3
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "heed/core/error.hpp"
#include "heed/core/types.hpp"
#include "heed/position/sinusoidal.hpp"

namespace heed::position {

enum class RopeStretch { none, linear, ntk_aware, ntk_by_parts };

// Made by linear(…), ntk_aware(…), ntk_by_parts(…) and yarn(…).
struct RopeScaling {
  RopeStretch stretch = RopeStretch::none;
  double factor = 1;           // s: the new context over the old one
  double original_length = 0;  // L: positions of the old context
  double alpha = 1, beta = 32;
  double magnitude = 1;  // of a turned pair; q·k grows by its square
};

struct RopeFrequencies {
  std::vector<double> step;  // [pairs], radians a position
  double magnitude = 1;      // of a turned pair
};

inline namespace HEED_ABI {

inline RopeScaling checked_scaling(const char* call, RopeScaling scaling) {
  const auto refuse = [&](const char* what, double number, const char* problem) {
    throw Error("heed::position::" + std::string(call) + ": " + what + " " +
                std::to_string(number) + " is not " + problem);
  };
  const bool parts = scaling.stretch == RopeStretch::ntk_by_parts;
  if (!is_finite(scaling.factor) || scaling.factor <= 0) {
    refuse("factor", scaling.factor, "finite and positive");
  }
  if (parts && (!is_finite(scaling.original_length) || scaling.original_length < 1)) {
    refuse("original_length", scaling.original_length, "a number of positions");
  }
  if (parts && !is_finite(scaling.alpha)) refuse("alpha", scaling.alpha, "finite");
  if (parts && (!is_finite(scaling.beta) || scaling.beta <= scaling.alpha)) {
    refuse("beta", scaling.beta, "finite and above alpha");
  }
  return scaling;
}

// Position p counts as p / factor. Throws heed::Error unless factor is finite and positive.
inline RopeScaling linear(double factor) {
  return checked_scaling("linear", {.stretch = RopeStretch::linear, .factor = factor});
}

// base becomes base · factor^(dim / (dim − 2)): the slowest pair turns `factor` times slower, the
// fastest as before. Throws heed::Error unless factor is finite and positive.
inline RopeScaling ntk_aware(double factor) {
  return checked_scaling("ntk_aware", {.stretch = RopeStretch::ntk_aware, .factor = factor});
}

// A pair that turns r = original_length · step / 2π times in the old context keeps its step where
// r > beta, has it divided by `factor` where r < alpha, and by (1 − γ) / factor + γ of it between,
// γ = (r − alpha) / (beta − alpha). Llama 3.1 is ntk_by_parts(8, 8192, 1, 4).
// Throws heed::Error for a factor or a length that is not positive, and unless alpha < beta.
inline RopeScaling ntk_by_parts(double factor, double original_length, double alpha = 1,
                                double beta = 32) {
  return checked_scaling("ntk_by_parts", {.stretch = RopeStretch::ntk_by_parts,
                                          .factor = factor,
                                          .original_length = original_length,
                                          .alpha = alpha,
                                          .beta = beta});
}

// NTK by parts with a softmax of temperature t, √(1/t) = 0.1·ln(factor) + 1: q and k both grow by
// that root. Throws heed::Error as ntk_by_parts does, and for a factor below 1.
inline RopeScaling yarn(double factor, double original_length, double alpha = 1, double beta = 32) {
  RopeScaling scaling = ntk_by_parts(factor, original_length, alpha, beta);
  if (factor < 1) {
    throw Error("heed::position::yarn: factor " + std::to_string(factor) + " is below 1");
  }
  scaling.magnitude = 0.1 * std::log(factor) + 1;
  return scaling;
}

// Of pair n of `dim` rotated features: base^(−2n / dim) radians a position, stretched.
//
//   returns  step [dim / 2]
//
// Throws heed::Error for a base that is not finite and positive, a dim that is negative or odd, and
// for NTK-aware scaling of fewer than 4 features.
inline RopeFrequencies rope_frequencies(Index dim, double base = 10'000,
                                        const RopeScaling& scaling = {}) {
  constexpr const char* call = "heed::position::rope";
  check_base(call, base);
  checked_scaling("rope", scaling);
  if (dim < 0 || dim % 2 != 0) {
    throw Error(std::string(call) + ": " + std::to_string(dim) +
                " features to rotate must be even");
  }
  if (scaling.stretch == RopeStretch::ntk_aware) {
    if (dim == 2) throw Error(std::string(call) + ": NTK-aware scaling of 2 features; 4 or more");
    base *= std::pow(scaling.factor, static_cast<double>(dim) / static_cast<double>(dim - 2));
  }
  RopeFrequencies result{std::vector<double>(static_cast<std::size_t>(dim / 2)), scaling.magnitude};
  for (Index n = 0; n < dim / 2; ++n) {
    double kept = 1;  // γ
    const double step = frequency(n, dim, base);
    if (scaling.stretch == RopeStretch::linear) kept = 0;
    if (scaling.stretch == RopeStretch::ntk_by_parts) {
      const double turns = scaling.original_length * step / (2 * std::numbers::pi);
      kept = std::clamp((turns - scaling.alpha) / (scaling.beta - scaling.alpha), 0.0, 1.0);
    }
    result.step[static_cast<std::size_t>(n)] = (1 - kept) * step / scaling.factor + kept * step;
  }
  return result;
}

}  // namespace HEED_ABI
}  // namespace heed::position
