// Approximations that gradients do not flow through, and why: a backward call does not compile.
#pragma once

#include "heed/core/abi.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

template <class... Args>
inline constexpr bool has_backward = false;

template <class... Args>
void nystrom_backward(const Args&...) {
  static_assert(
      has_backward<Args...>,
      "heed::approx::nystrom has no backward call: its pseudoinverse of the landmarks has "
      "no gradient where it loses rank; train through linear, performer, linformer or "
      "top_k");
}

template <class... Args>
void low_rank_backward(const Args&...) {
  static_assert(has_backward<Args...>,
                "heed::approx::low_rank has no backward call: singular vectors have no gradient "
                "where singular values meet; train through linear, performer, linformer or top_k");
}

template <class... Args>
void lsh_backward(const Args&...) {
  static_assert(
      has_backward<Args...>,
      "heed::approx::lsh has no backward call: train through linear, performer, linformer "
      "or top_k");
}

}  // namespace HEED_ABI
}  // namespace heed::approx
