// One pass over the elements of a model and of modules like it: what optimizers share.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <string>

#include "heed/core/parallel.hpp"
#include "heed/nn/gradients.hpp"
#include "heed/nn/options.hpp"

namespace heed::train {

inline namespace HEED_ABI {

// f(model's numbers, others' numbers …), Eigen arrays of equal length, until every parameter has
// passed by. Elements are independent, so threads change no bit. Throws heed::Error where a module
// is of other options.
template <class F, class Module, class... Others>
void update_elements(const F& f, const nn::Options& options, Module& model, Others&... others) {
  constexpr Index chunk = 8192;
  nn::for_each_parameter(
      [&](const std::string&, auto& parameter, auto&... rest) {
        const Index size = parameter.size(), tasks = (size + chunk - 1) / chunk;
        const int workers = worker_count(tasks, options.threads, options.executor);
        parallel_for(tasks, workers, options.executor, [&](Index task, int) {
          const Index first = task * chunk, count = std::min(chunk, size - first);
          f(parameter.value.reshaped().segment(first, count).array(),
            rest.value.reshaped().segment(first, count).array()...);
        });
      },
      model, others...);
}

// Throws heed::Error, with the call and the number's name, unless low <= x < high.
inline void check_range(const char* call, const char* name, double x, double low, double high) {
  if (x >= low && x < high) return;
  throw Error(std::string(call) + ": " + name + " " + std::to_string(x) + " is outside [" +
              std::to_string(low) + ", " + std::to_string(high) + ")");
}

}  // namespace HEED_ABI
}  // namespace heed::train
