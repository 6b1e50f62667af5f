// Tensors as products of tf32 take them.
#pragma once

#include "cuda/simt/formats.hpp"
#include "heed/core/eigen.hpp"

namespace heed::test {

inline float as_tf32(float x) { return std::bit_cast<float>(simt::narrow_tf32(x)); }

// x [B, H, L, D], rounded.
inline Tensor4<float> as_tf32(const View<const float, 4>& x) {
  Tensor4<float> r(x.extent[0], x.extent[1], x.extent[2], x.extent[3]);
  for (Index b = 0; b < x.extent[0]; ++b) {
    for (Index h = 0; h < x.extent[1]; ++h) {
      for (Index i = 0; i < x.extent[2]; ++i) {
        for (Index d = 0; d < x.extent[3]; ++d) r(b, h, i, d) = as_tf32(x(b, h, i, d));
      }
    }
  }
  return r;
}

}  // namespace heed::test
