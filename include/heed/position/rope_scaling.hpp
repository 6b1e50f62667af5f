// Frequencies stretched for contexts longer than a model was trained on, under the names that the
// models' configurations have.
//
//   linear        Chen et al., "Extending Context Window … via Positional Interpolation" (2023)
//   NTK-aware     Peng et al., "YaRN" (2023), definition 1
//   dynamic NTK   the same, section 3.3: the factor follows the length
//   NTK by parts  the same, definition 2; Llama 3 is this
//   YaRN          the same with the ramp of its authors' code, which models are deployed with:
//   Qwen,
//                 DeepSeek, gpt-oss
//   LongRoPE      Ding et al., "LongRoPE" (2024): Phi-3, Phi-4
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "heed/core/error.hpp"
#include "heed/core/types.hpp"

namespace heed::position {

enum class RopeStretch { none, linear, ntk_aware, ntk_by_parts, yarn, by_pair };

// Made by linear(…), ntk_aware(…), dynamic_ntk(…), ntk_by_parts(…), llama3(…), yarn(…) and
// longrope(…).
struct RopeScaling {
  RopeStretch stretch = RopeStretch::none;
  double factor = 1;           // s: the new context over the old one
  double original_length = 0;  // L: positions of the old context
  double alpha = 1, beta = 32;
  double magnitude = 1;              // of a turned pair; q·k grows by its square
  bool truncate = true;              // YaRN's ramp ends at whole pairs
  std::vector<double> factors = {};  // [pairs], by which steps are divided
};

// YaRN's parameters besides the factor and the length, as configurations call them.
struct YarnOptions {
  double beta_fast = 32;  // pairs that turn more often in the old context keep their step
  double beta_slow = 1;   // pairs that turn less often have it divided by the factor
  bool truncate = true;   // the ramp between the two ends at whole pairs; false for gpt-oss
  double mscale = 1, mscale_all_dim = 0;        // DeepSeek's
  std::optional<double> attention_factor = {};  // the magnitude, where it is given
};

// LongRoPE's parameters, as configurations call them.
struct LongRopeOptions {
  std::vector<double> short_factor = {};        // [pairs], up to the original length
  std::vector<double> long_factor = {};         // [pairs], above it
  double original_length = 0;                   // original_max_position_embeddings
  double max_length = 0;                        // max_position_embeddings
  std::optional<double> attention_factor = {};  // the magnitude, where it is given
};

inline namespace HEED_ABI {

inline RopeScaling checked_scaling(const char* call, RopeScaling scaling) {
  const auto refuse = [&](const char* what, double number, const char* problem) {
    throw Error("heed::position::" + std::string(call) + ": " + what + " " +
                std::to_string(number) + " is not " + problem);
  };
  const bool yarn = scaling.stretch == RopeStretch::yarn;
  const bool parts = yarn || scaling.stretch == RopeStretch::ntk_by_parts;
  if (!is_finite(scaling.factor) || scaling.factor <= 0) {
    refuse("factor", scaling.factor, "finite and positive");
  }
  if (parts && (!is_finite(scaling.original_length) || scaling.original_length < 1)) {
    refuse("original_length", scaling.original_length, "a number of positions");
  }
  if (parts && !is_finite(scaling.alpha)) refuse("alpha", scaling.alpha, "finite");
  if (yarn && scaling.alpha <= 0) refuse("alpha", scaling.alpha, "positive");
  if (parts && (!is_finite(scaling.beta) || scaling.beta <= scaling.alpha)) {
    refuse("beta", scaling.beta, "finite and above alpha");
  }
  if (!is_finite(scaling.magnitude)) refuse("magnitude", scaling.magnitude, "finite");
  for (const double factor : scaling.factors) {
    if (!is_finite(factor) || factor <= 0) refuse("factor", factor, "finite and positive");
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

// NTK-aware by factor · length / original_length − (factor − 1), by 1 up to the original length.
// A model turns all tokens of a call by one `length`, that of the text so far: cached keys, which
// an earlier length turned, differ. Throws heed::Error for a factor or a length that is not
// positive.
inline RopeScaling dynamic_ntk(double factor, double original_length, double length) {
  constexpr const char* call = "dynamic_ntk";
  checked_scaling(
      call,
      {.stretch = RopeStretch::ntk_by_parts, .factor = factor, .original_length = original_length});
  if (!is_finite(length) || length < 0) {
    throw Error("heed::position::dynamic_ntk: length " + std::to_string(length) +
                " is not a number of positions");
  }
  const double excess = std::max(length / original_length, 1.0) - 1;
  return checked_scaling(call, {.stretch = RopeStretch::ntk_aware, .factor = factor * excess + 1});
}

// A pair that turns r = original_length · step / 2π times in the old context keeps its step where
// r > beta, has it divided by `factor` where r < alpha, and by (1 − γ) / factor + γ of it between,
// γ = (r − alpha) / (beta − alpha). With the magnitude 0.1·ln(factor) + 1 it is the paper's YaRN.
// Throws heed::Error for a factor or a length that is not positive, and unless alpha < beta.
inline RopeScaling ntk_by_parts(double factor, double original_length, double alpha = 1,
                                double beta = 32) {
  return checked_scaling("ntk_by_parts", {.stretch = RopeStretch::ntk_by_parts,
                                          .factor = factor,
                                          .original_length = original_length,
                                          .alpha = alpha,
                                          .beta = beta});
}

// The share γ of a step that ntk_by_parts keeps.
inline double kept_by_parts(const RopeScaling& scaling, double step) {
  const double turns = scaling.original_length * step / (2 * std::numbers::pi);
  return std::clamp((turns - scaling.alpha) / (scaling.beta - scaling.alpha), 0.0, 1.0);
}

// Llama 3's: ntk_by_parts under its configuration's names. Llama 3.1 is llama3(8, 8192), Llama 3.2
// llama3(32, 8192). Throws heed::Error as ntk_by_parts does.
inline RopeScaling llama3(double factor, double original_length, double low_freq_factor = 1,
                          double high_freq_factor = 4) {
  return ntk_by_parts(factor, original_length, low_freq_factor, high_freq_factor);
}

// 0.1 · mscale · ln(factor) + 1: what YaRN lets q and k grow by, 1 for factors up to 1. DeepSeek
// puts the square of yarn_mscale(factor, mscale_all_dim) into the scale of the softmax instead.
inline double yarn_mscale(double factor, double mscale = 1) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

// YaRN as models are deployed with it. Pairs that turn more than beta_fast times in the old context
// keep their step, those that turn less than beta_slow times have it divided by `factor`; between,
// the share that is kept falls evenly from pair to pair (the paper: with the number of turns, which
// is ntk_by_parts). q and k grow by yarn_mscale(factor, mscale) / yarn_mscale(factor,
// mscale_all_dim) each.
//
// Qwen2.5 is yarn(4, 32768); DeepSeek-V3 yarn(40, 4096, {.mscale = 1, .mscale_all_dim = 1});
// gpt-oss yarn(32, 4096, {.truncate = false}).
// Throws heed::Error for a factor below 1, a length that is not positive, and unless
// 0 < beta_slow < beta_fast.
inline RopeScaling yarn(double factor, double original_length, const YarnOptions& options = {}) {
  RopeScaling scaling = checked_scaling("yarn", {.stretch = RopeStretch::yarn,
                                                 .factor = factor,
                                                 .original_length = original_length,
                                                 .alpha = options.beta_slow,
                                                 .beta = options.beta_fast,
                                                 .truncate = options.truncate});
  if (factor < 1) {
    throw Error("heed::position::yarn: factor " + std::to_string(factor) + " is below 1");
  }
  scaling.magnitude = options.attention_factor.value_or(
      yarn_mscale(factor, options.mscale) / yarn_mscale(factor, options.mscale_all_dim));
  return checked_scaling("yarn", scaling);
}

// The same by position: alpha is beta_slow, beta is beta_fast.
template <class Number>
requires std::is_arithmetic_v<Number> RopeScaling yarn(double factor, double original_length,
                                                       Number alpha, double beta = 32) {
  return yarn(factor, original_length,
              YarnOptions{.beta_fast = beta, .beta_slow = static_cast<double>(alpha)});
}

// Each pair's step is divided by a factor of its own: long_factor for texts above the original
// length, short_factor up to it; `length` is that of the text, and a model turns all its tokens by
// one list. q and k grow by √(1 + ln(s) / ln(original_length)) each, s = max_length /
// original_length, unless attention_factor says otherwise. Phi-3-mini-128k is {its lists, 4096,
// 131072}.
// Throws heed::Error for lengths that are not positive, factors that are not, and an
// original_length up to 1 where it is divided by its logarithm.
inline RopeScaling longrope(const LongRopeOptions& model, double length) {
  constexpr const char* call = "longrope";
  const auto refuse = [&](const char* what, double number, const char* problem) {
    throw Error("heed::position::longrope: " + std::string(what) + " " + std::to_string(number) +
                " is not " + problem);
  };
  if (!is_finite(model.original_length) || model.original_length <= 1) {
    refuse("original_length", model.original_length, "above 1");
  }
  if (!is_finite(model.max_length) || model.max_length < 1) {
    refuse("max_length", model.max_length, "a number of positions");
  }
  if (!is_finite(length) || length < 0) refuse("length", length, "a number of positions");
  const double stretch = std::max(model.max_length / model.original_length, 1.0);
  const double magnitude = std::sqrt(1 + std::log(stretch) / std::log(model.original_length));
  return checked_scaling(
      call, {.stretch = RopeStretch::by_pair,
             .original_length = model.original_length,
             .magnitude = model.attention_factor.value_or(magnitude),
             .factors = length > model.original_length ? model.long_factor : model.short_factor});
}

}  // namespace HEED_ABI
}  // namespace heed::position
