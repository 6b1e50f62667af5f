// expect: q, k and v must have the same element type
// expect: elements must be float, double
// expect: must be Eigen tensors, matrices or maps in memory
// expect: q, k and v must have the same rank
// expect: tensors are .B, H, L, D., .B, L, D. or .L, D.
// expect: must be Eigen tensors, matrices or maps in memory
// expect: elements must be float, double
// expect: elements must be float, double|std::float16_t and std::bfloat16_t are not elements
// expect: a source of keys has length.b. and bind.shape, b, kv_head., whose for_each_run
// expect: top_k: the cache must keep float, double, half or bfloat16, not codes
// expect: lsh: the cache must keep float, double, half or bfloat16, not codes
// expect: tensors are .B, H, L, D., .B, L, D. or .L, D.
// expect: no matching (member )?function for call to .*append
// expect: no matching (member )?function for call to .*append
// expect: a source of keys has length.b. and bind.shape, b, kv_head., whose for_each_run
#include <vector>

#include "heed/heed.hpp"

int main() {
  const heed::Tensor4<float> q(1, 2, 3, 4);
#if HEED_WRONG == 0
  return static_cast<int>(heed::attention(q, q, q).out.size()) - 24;
#elif HEED_WRONG == 1
  const heed::Tensor4<double> k(1, 2, 3, 4);
  heed::attention(q, k, q);
#elif HEED_WRONG == 2
  const heed::Tensor4<int> whole(1, 2, 3, 4);
  heed::attention(whole, whole, whole);
#elif HEED_WRONG == 3
  heed::attention(q, q + q, q);
#elif HEED_WRONG == 4
  const heed::Tensor3<float> k(2, 3, 4);
  heed::attention(q, k, k);
#elif HEED_WRONG == 5
  const Eigen::Tensor<float, 5, Eigen::RowMajor> five(1, 2, 3, 4, 5);
  heed::attention(five, five, five);
#elif HEED_WRONG == 6
  heed::attention(q, q.data(), q);
#elif HEED_WRONG == 7
  const heed::Tensor4<std::complex<float> > z(1, 2, 3, 4);
  heed::approx::linear(z, z, z);
#elif HEED_WRONG == 8
#ifdef __FLT16_MANT_DIG__
  const std::vector<_Float16> numbers(24);
#else
  const std::vector<short> numbers(24);
#endif
  const auto small = heed::view(numbers.data(), {1, 2, 3, 4});
  heed::attention(small, small, small);
#elif HEED_WRONG == 9
  const heed::kv::Dense<double> source{};
  heed::attention(q, source);
#elif HEED_WRONG == 10
  const heed::kv::Cache<heed::kv::K8V8> codes({1, 2, 4, 4});
  heed::approx::top_k(q, codes, 3);
#elif HEED_WRONG == 11
  const heed::kv::Cache<heed::kv::K8V8> codes({1, 2, 4, 4});
  heed::approx::lsh(q, codes);
#elif HEED_WRONG == 12
  Eigen::Tensor<float, 1> row(4);
  heed::position::rope(row);
#elif HEED_WRONG == 13
  heed::kv::LatentCache<float> latent({1, 2, 4, 4});
  latent.append(q, q);
#elif HEED_WRONG == 14
  heed::kv::PagedCache<heed::kv::Latent<float> > latent({1, 2, 4, 4}, {});
  latent.append(q, q);
#elif HEED_WRONG == 15
  const heed::kv::Cache<heed::kv::K8V8> codes({1, 2, 4, 4});
  heed::attention(heed::Tensor4<double>(1, 2, 3, 4), codes);
#endif
}
