// How to compute, never what: every member has a default, and the meaning of a call is its tensors,
// mask and score.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "heed/core/check.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/random.hpp"

namespace heed {

// `automatic` is flash: its scratch does not grow with the lengths. The others are there to
// compare.
enum class Backend { automatic, reference, chunked, flash };

// What a call did, and why. Filled where Options::report points to one.
struct CallReport {
  const char* backend = "";   // "flash", "chunked" or "reference"
  const char* isa = "";       // which kernels ran
  const char* why = "";       // why this backend
  const char* parallel = "";  // "OpenMP", "executor" or why one thread
  int threads = 0;
  std::size_t scratch_bytes = 0;
};

struct Options {
  std::optional<double> scale = {};  // default 1/sqrt(D)
  int threads = 0;                   // 0: as many as the executor or OpenMP has
  Executor* executor = nullptr;      // the user's pool
  double dropout = 0;                // probability that a weight is dropped, in [0, 1]
  std::uint64_t seed = 0;            // of dropout
  std::span<std::byte> workspace =
      {};  // heed::workspace_bytes(…) of it: then a call allocates nothing
  Backend backend = Backend::automatic;
  CallReport* report = nullptr;
};

inline namespace HEED_ABI {

// Every backend of this build, by name.
constexpr std::array<const char*, 3> backends() { return {"reference", "chunked", "flash"}; }

// Throws heed::Error for a non-finite scale, dropout outside [0, 1] or a negative number of
// threads.
inline void check_options(const char* call, const Options& options) {
  if (options.scale && !is_finite(*options.scale)) {
    throw Error(std::string(call) + ": the scale is not finite");
  }
  if (!is_finite(options.dropout) || options.dropout < 0 || options.dropout > 1) {
    throw Error(std::string(call) + ": dropout " + std::to_string(options.dropout) +
                " is outside [0, 1]");
  }
  if (options.threads < 0) {
    throw Error(std::string(call) + ": " + std::to_string(options.threads) + " threads");
  }
}

}  // namespace HEED_ABI
}  // namespace heed
