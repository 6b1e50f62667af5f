// Initial weights: named, seeded, the same on every machine.
#pragma once

#include <cmath>
#include <cstdint>

#include "heed/core/random.hpp"
#include "heed/nn/parameter.hpp"

namespace heed::nn {

enum class Init {
  xavier_uniform,  // weights ±sqrt(6 / (in + out)), biases 0. Glorot and Bengio (2010), eq. 16
  torch_linear,    // weights and biases ±1 / sqrt(in), as torch.nn.Linear begins
};

inline namespace HEED_ABI {

// Half the width of the uniform distribution that a parameter begins with.
template <class T>
double initial_bound(const Parameter<T>& parameter, Init init) {
  if (init == Init::torch_linear) return 1 / std::sqrt(static_cast<double>(parameter.fan_in));
  if (parameter.rank == 1) return 0;
  return std::sqrt(6 / static_cast<double>(parameter.fan_in + parameter.fan_out));
}

// Element e, counted row by row, is word e mod 4 of philox(seed, (e / 4, stream)), mapped to
// (−bound, bound).
template <class T>
void fill_uniform(Parameter<T>& parameter, double bound, std::uint64_t seed, std::uint32_t stream) {
  std::uint64_t e = 0;
  Words4 words{};
  for (Index i = 0; i < parameter.value.rows(); ++i) {
    for (Index j = 0; j < parameter.value.cols(); ++j, ++e) {
      if (e % 4 == 0) {
        const std::uint64_t block = e / 4;
        words = philox(seed, {static_cast<std::uint32_t>(block),
                              static_cast<std::uint32_t>(block >> 32), stream, 0});
      }
      const double unit = (words[e % 4] + 0.5) / 4294967296.0;
      parameter.value(i, j) = static_cast<T>(bound * (2 * unit - 1));
    }
  }
}

// Element e, counted row by row, is deviation · sqrt(−2 ln u) · cos(2π v) of words 0 and 1 of
// philox(seed, (e, stream)). Box and Muller (1958).
template <class T>
void fill_normal(Parameter<T>& parameter, double deviation, std::uint64_t seed,
                 std::uint32_t stream) {
  constexpr double turn = 6.283185307179586;
  std::uint64_t e = 0;
  for (Index i = 0; i < parameter.value.rows(); ++i) {
    for (Index j = 0; j < parameter.value.cols(); ++j, ++e) {
      const Words4 words = philox(
          seed, {static_cast<std::uint32_t>(e), static_cast<std::uint32_t>(e >> 32), stream, 0});
      const double u = (words[0] + 0.5) / 4294967296.0;
      const double v = words[1] / 4294967296.0;
      const double normal = std::sqrt(-2 * std::log(u)) * std::cos(turn * v);
      parameter.value(i, j) = static_cast<T>(deviation * normal);
    }
  }
}

// Gives every parameter of a module its first value; no two parameters share random numbers.
// Gains become 1 and shifts 0; tables and single rows begin as torch's, whatever `init` says.
template <class Module>
void initialise(Module& module, Init init, std::uint64_t seed) {
  std::uint32_t stream = 0;
  each_parameter(module, [&](const std::string&, auto& parameter) {
    if (parameter.deviation > 0) {
      fill_normal(parameter, parameter.deviation, seed, stream);
    } else if (parameter.fan_in == 0) {
      parameter.value.setConstant(parameter.start);
    } else {
      fill_uniform(parameter, initial_bound(parameter, init), seed, stream);
    }
    ++stream;
  });
}

}  // namespace HEED_ABI
}  // namespace heed::nn
