#include "models/cuda_attention.hpp"

#include <heed/cuda/attention.cuh>
#include <heed/mask/padding.hpp>

namespace heed::models {

void require_cuda(const char* who) { cuda::require_device(who); }

void cuda_attention_into(const View<float, 4>& out, const View<const float, 4>& q,
                         const View<const float, 4>& k, const View<const float, 4>& v,
                         std::span<const int> lengths) {
  cuda::attention_into(out, q, k, v, mask::padding(lengths));
}

}  // namespace heed::models
