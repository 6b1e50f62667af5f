// y = x / sqrt(mean(x²) + eps) · weight, token by token. Zhang and Sennrich, "Root Mean Square
// Layer Normalization" (2019), equation 4.
#pragma once

#include "heed/nn/row_norm.hpp"

namespace heed::nn {
inline namespace HEED_ABI {

template <class T>
using RmsNorm = RowNorm<T, simd::Norm::rms>;

}  // namespace HEED_ABI
}  // namespace heed::nn
