// Options of forward, the last argument of every module's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "heed/core/parallel.hpp"
#include "heed/simd/compute.hpp"

namespace heed::nn {

// Dropout on (train) or off (eval). An argument of the call; modules keep no mode.
enum class Mode { eval, train };

enum class Bias { yes, no };

struct Options {
  Mode mode = Mode::eval;
  std::uint64_t seed = 0;        // of dropout, in Mode::train
  int threads = 0;               // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;  // the user's pool
  // bfloat16 or half: the operands of every product, attention's too, are rounded to it; weights,
  // sums, norms, softmax, residuals and gradients stay float. For modules of float. backward takes
  // what forward_train took. Weights that a call returns, and what they multiply, are not rounded.
  Compute compute = Compute::full;
  // The module's workspace_bytes(…) of it: then forward_into allocates nothing, and forward nothing
  // but its result. Without: one more allocation a call.
  std::span<std::byte> workspace = {};
};

}  // namespace heed::nn
