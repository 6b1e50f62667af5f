// How to run a module, never what it computes: the last argument of every forward.
#pragma once

#include <cstdint>

#include "heed/core/parallel.hpp"

namespace heed::nn {

// Whether dropout drops. An argument of the call: no module keeps it as a state.
enum class Mode { eval, train };

struct Options {
  Mode mode = Mode::eval;
  std::uint64_t seed = 0;        // of dropout, in Mode::train
  int threads = 0;               // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;  // the user's pool
};

}  // namespace heed::nn
