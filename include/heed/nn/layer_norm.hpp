// y = (x − mean) / sqrt(variance + eps) · weight + bias, token by token; the variance is the biased
// one. Ba, Kiros, Hinton, Layer Normalization (2016), equation 4.
#pragma once

#include "heed/nn/row_norm.hpp"

namespace heed::nn {
inline namespace HEED_ABI {

template <class T>
using LayerNorm = RowNorm<T, simd::Norm::layer>;

}  // namespace HEED_ABI
}  // namespace heed::nn
