// Options of a call. Every member has a default. Scale, dropout and sinks are part of what is
// computed; the others decide the way to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "heed/attention/sinks.hpp"
#include "heed/core/check.hpp"
#include "heed/core/compute.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/random.hpp"
#if !defined(__CUDACC__)
#include "heed/simd/compute.hpp"  // defines its values; brings Eigen, which a .cu file does not need
#endif

namespace heed {

// The code that computes a call. `automatic` is flash for tensors in host memory and cuda for
// tensors on a device. Any other backend runs, or is heed::Error: there is no silent substitute.
enum class Backend { automatic, reference, chunked, flash, cuda };

// The path that a call took. Filled where Options::report points to one.
struct CallReport {
  const char* backend = "";   // name_of the backend that ran
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
  HeadNumbers<false> sinks = {};     // [Hq], which join the softmax of their head's rows
  HeadNumbers<true> d_sinks = {};    // [Hq], their gradient, which backward calls write
  std::span<std::byte> workspace =
      {};  // heed::workspace_bytes(…) of it: then a call allocates nothing
  Backend backend = Backend::automatic;
  // bfloat16: float tensors on a CPU that multiplies pairs of bfloat16 (AVX-512 BF16) have products
  // in pairs, of inputs, weights and their gradients rounded to it. Else, and with few queries,
  // full.
  Compute compute = Compute::full;
  bool tf32 = false;  // float tensors on a device: products on tensor cores, of inputs and weights
                      // rounded to 11 bits; otherwise exact
  CallReport* report = nullptr;
};

inline namespace HEED_ABI {

constexpr const char* name_of(Backend backend) {
  switch (backend) {
    case Backend::automatic:
      return "automatic";
    case Backend::reference:
      return "reference";
    case Backend::chunked:
      return "chunked";
    case Backend::flash:
      return "flash";
    case Backend::cuda:
      return "cuda";
  }
  return "invalid";
}

// Throws heed::Error for a non-finite scale, dropout outside [0, 1], a negative number of threads,
// or tf32.
inline void check_options(const char* call, const Options& options) {
  if (options.scale && !is_finite(*options.scale)) {
    refuse({call, ": the scale is not finite"});
  }
  if (!is_finite(options.dropout) || options.dropout < 0 || options.dropout > 1) {
    refuse({call, ": dropout ", options.dropout, " is outside [0, 1]"});
  }
  check_threads(call, options.threads);
  if (options.tf32) {
    refuse({call, ": options.tf32 is for the device, but this call computes on the CPU"});
  }
}

}  // namespace HEED_ABI
}  // namespace heed
