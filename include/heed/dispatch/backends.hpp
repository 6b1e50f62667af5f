// The backends of this build, and one call that runs any of them: heed::backends,
// heed::dispatch::attention.
//
// In a .cu file CUDA is among it; any other file needs none, and is told so where it asks.
// Options::backend has the one rule by which a backend runs (attention/options.hpp);
// Options::report says which one ran, and why.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/set_macros_aside.inl"

#include <string>
#include <vector>

#include "heed/attention/attention.hpp"

#if defined(__CUDACC__)
#include "heed/cuda/attention.cuh"
#include "heed/cuda/device/devices.cuh"
#endif

namespace heed {

// One backend, as this file was compiled and on this machine.
struct BackendInfo {
  Backend backend;
  // Instruction sets, the one that calls take first, or devices. Empty: it cannot run here.
  std::vector<std::string> runs_on;
  std::string why;  // it is the choice, it is not, or what is missing

  bool available() const { return !runs_on.empty(); }
};

inline namespace HEED_ABI {

// This machine's instruction sets that there are kernels for, the one that calls take first.
inline std::vector<std::string> instruction_sets() {
  std::vector<std::string> names{name_of(isa())};
  for (const Isa each : {Isa::amx, Isa::avx512_bf16, Isa::avx512, Isa::avx2, Isa::portable}) {
    if (each <= machine_isa() && each != isa()) names.emplace_back(name_of(each));
  }
  return names;
}

#if defined(__CUDACC__)
inline BackendInfo cuda_offer() {
  BackendInfo offer{Backend::cuda, {}, "no CUDA device"};
  for (const cuda::Device& device : cuda::devices()) {
    const std::string name = device.name + " (sm_" + std::to_string(device.architecture) + ")";
    if (device.can_run()) {
      offer.runs_on.push_back(name);
    } else {
      offer.why = name + " is older than sm_" + std::to_string(cuda::oldest_architecture);
    }
  }
  if (offer.available()) offer.why = "automatic takes it for tensors on the device";
  return offer;
}
#else
inline BackendInfo cuda_offer() {
  return {Backend::cuda, {}, "this file was compiled without CUDA: it takes a .cu file and nvcc"};
}
#endif

// Every backend, in the order of the enumeration, and whether this build and machine can run it.
inline std::vector<BackendInfo> backends() {
  return {{Backend::reference, {"plain C++"}, "the textbook, to compare with"},
          {Backend::chunked, instruction_sets(), "plain softmax over whole rows, to compare with"},
          {Backend::flash, instruction_sets(), "automatic takes it for tensors on the host"},
          cuda_offer()};
}

}  // namespace HEED_ABI
}  // namespace heed

namespace heed::dispatch {

inline namespace HEED_ABI {

// heed::attention or heed::cuda::attention, as options.backend says at run time; automatic computes
// where the tensors lie. In a .cu file the mask and score must be ones that a kernel takes.
//
//   q [B, Hq, Lq, D]   k [B, Hkv, Lk, D]   v [B, Hkv, Lk, Dv], as for these two
//
// Throws heed::Error as they do, and for a backend that this file or the tensors cannot have.
template <class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
auto attention(const Q& q, const K& k, const V& v, const M& mask = {}, const S& score = {},
               const Options& options = {}) {
#if defined(__CUDACC__)
  if constexpr (!cuda::none_on_device<Q, K, V>) {
    return cuda::attention(q, k, v, mask, score, options);
  } else {
    if (options.backend == Backend::cuda) return cuda::attention(q, k, v, mask, score, options);
    return heed::attention(q, k, v, mask, score, options);
  }
#else
  return heed::attention(q, k, v, mask, score, options);
#endif
}

// The same into memory the caller has: heed::attention_into or heed::cuda::attention_into.
template <class Out, class Q, class K, class V, class M = mask::None, class S = score::None>
requires RightTypes<Q, K, V, M, S>
void attention_into(Out&& out, const Q& q, const K& k, const V& v, const M& mask = {},
                    const S& score = {}, const Options& options = {}) {
#if defined(__CUDACC__)
  if constexpr (!cuda::none_on_device<Q, K, V>) {
    cuda::attention_into(out, q, k, v, mask, score, options);
    return;
  } else {
    if (options.backend == Backend::cuda) {
      cuda::attention_into(out, q, k, v, mask, score, options);
      return;
    }
    heed::attention_into(out, q, k, v, mask, score, options);
  }
#else
  heed::attention_into(out, q, k, v, mask, score, options);
#endif
}

}  // namespace HEED_ABI
}  // namespace heed::dispatch

#include "heed/core/restore_macros.inl"
