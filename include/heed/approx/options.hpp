// Options that every approximation takes besides its own parameters.
#pragma once

#include "heed/attention/options.hpp"

namespace heed::approx {

struct Options {
  std::optional<double> scale = {};  // default 1/sqrt(D)
  int threads = 0;                   // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;      // the user's pool

  heed::Options common() const {
    return {.scale = scale, .threads = threads, .executor = executor};
  }
};

// Of methods that have no scale: how to run a call, never what it computes.
struct RunOptions {
  int threads = 0;               // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;  // the user's pool

  heed::Options common() const { return {.threads = threads, .executor = executor}; }
};

// The parameters of lsh.
struct LshOptions {
  Index buckets = 0;       // even; 0: about one for each chunk of keys
  Index rounds = 4;        // of hashing; a row sees the union of what they find
  Index chunk = 64;        // sorted keys; a query sees its own and the one before
  std::uint64_t seed = 0;  // of the random directions, which all heads share
};

}  // namespace heed::approx
