// A model's attention on the GPU, for programs whose other parts nvcc does not see.
#pragma once

#include <span>

#include "heed/core/view.hpp"

namespace heed::models {

// Throws heed::Error, one line that begins with `who`, where attention cannot run on a GPU: the
// program was built without CUDA, or there is no device.
void require_cuda(const char* who);

// heed::cuda::attention_into of host tensors, sequence b's keys from lengths[b] on hidden.
//
//   q, k, v, out  [B, H, L, D]      lengths  [B]
void cuda_attention_into(const View<float, 4>& out, const View<const float, 4>& q,
                         const View<const float, 4>& k, const View<const float, 4>& v,
                         std::span<const int> lengths);

}  // namespace heed::models
