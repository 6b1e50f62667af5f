// One call on device tensors, one mask, one score: what a user's file costs to compile.
#include <cuda_bf16.h>

#include <heed/cuda.hpp>

#if defined(EIGEN_WORLD_VERSION)
#error "heed/cuda.hpp includes Eigen"
#endif

void causal(const heed::cuda::DeviceTensor<__nv_bfloat16, 4>& q,
            const heed::cuda::DeviceTensor<__nv_bfloat16, 4>& k,
            const heed::cuda::DeviceTensor<__nv_bfloat16, 4>& v) {
  const auto result = heed::cuda::attention(q, k, v, heed::mask::causal());
  heed::cuda::attention_into(result.out, q, k, v, heed::mask::causal());
}
