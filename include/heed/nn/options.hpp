// How to run a module, never what it computes: the last argument of every forward.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "heed/core/parallel.hpp"

namespace heed::nn {

// Whether dropout drops. An argument of the call: no module keeps it as a state.
enum class Mode { eval, train };

enum class Bias { yes, no };

struct Options {
  Mode mode = Mode::eval;
  std::uint64_t seed = 0;        // of dropout, in Mode::train
  int threads = 0;               // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;  // the user's pool
  // The module's workspace_bytes(…) of it: then forward_into allocates nothing, and forward nothing
  // but its result. Without: one more allocation a call.
  std::span<std::byte> workspace = {};
};

}  // namespace heed::nn
