// The parameters of a module, a user's own too, as inputs of gradcheck.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "heed/inspect/gradcheck.hpp"
#include "heed/nn/gradients.hpp"

namespace heed::inspect {

inline namespace HEED_ABI {

// Each parameter and the gradient that a module's backward claims for it, by name. Both are
// referred to. Throws heed::Error where the gradients are another module's.
template <class Module>
std::vector<GradcheckInput> gradcheck_parameters(Module& module, const Module& gradients) {
  std::vector<GradcheckInput> inputs;
  const auto add = [&](const std::string& name, auto& parameter, const auto& gradient) {
    inputs.push_back(gradcheck_input(name, parameter.value, gradient.value));
  };
  nn::for_each_parameter(add, module, gradients);
  return inputs;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
