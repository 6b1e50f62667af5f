// The norm of all gradients together, and its bound.
#pragma once

#include <cmath>
#include <string>

#include "heed/nn/gradients.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::train {

inline namespace HEED_ABI {

// sqrt(Σ g²) over every gradient, in double: eight sums a parameter, in the order of the
// parameters.
template <class Module>
double global_norm(const Module& gradients) {
  double sum = 0;
  const Isa machine = isa();
  nn::each_parameter(gradients, [&](const std::string&, const auto& g) {
    using T = typename std::remove_reference_t<decltype(g.value)>::Scalar;
    sum += simd::layer_kernels<T>(machine).sum_squares(g.value.data(), g.size());
  });
  return std::sqrt(sum);
}

// The name of the first gradient that is not finite, or "".
template <class Module>
std::string first_not_finite(const Module& gradients) {
  std::string found;
  nn::each_parameter(gradients, [&](const std::string& name, const auto& g) {
    for (Index n = 0; found.empty() && n < g.size(); ++n) {
      if (!is_finite(g.value.data()[n])) found = name;
    }
  });
  return found;
}

// g = factor · g for every gradient.
template <class Module>
void scale_gradients(Module& gradients, double factor) {
  if (factor == 1) return;
  nn::each_parameter(gradients, [&](const std::string&, auto& g) {
    using T = typename std::remove_reference_t<decltype(g.value)>::Scalar;
    g.value *= static_cast<T>(factor);
  });
}

// Scales the gradients so that their global norm is at most `most`, and returns the norm from
// before. Throws heed::Error where `most` is below 0 or NaN, and with the parameter's name where a
// gradient is not finite; then nothing has changed. Pascanu et al., "On the difficulty of training
// recurrent neural networks" (2013), Algorithm 1.
template <class Module>
double clip_global_norm(Module& gradients, double most) {
  constexpr const char* call = "heed::train::clip_global_norm: ";
  if (!(most >= 0)) {
    throw Error(call + std::string("the bound ") + std::to_string(most) + " is not at least 0");
  }
  const double norm = global_norm(gradients);
  if (!is_finite(norm)) {
    const std::string name = first_not_finite(gradients);
    throw Error(call + (name.empty() ? "the norm overflows"
                                     : "the gradient of " + name + " is not finite"));
  }
  if (norm > most) scale_gradients(gradients, most / norm);
  return norm;
}

}  // namespace HEED_ABI
}  // namespace heed::train
