// Operands of attention, rounded in memory as Options::compute says.
#pragma once

#include "heed/nn/for_each_token.hpp"
#include "heed/nn/packed.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// x = x rounded. So every kernel of forward and backward sees the same scores.
//   x  [B, L, features], packed
template <class T>
void round_tokens(const View<T, 3>& x, const Options& options) {
  if (options.compute == Compute::full) return;
  const auto& kernels = layer_kernels<T>(options);
  for_each_token(x, options, [&](Index n) { kernels.rounding->round(token(x, n), x.extent[2]); });
}

}  // namespace HEED_ABI
}  // namespace heed::nn
