// The kernels for pairs of bfloat16: those of this machine, and their body in the shape of AVX-512
// with sums of pairs made of two multiply-adds.
#include "heed/core/eigen.hpp"
#include "heed/simd/kernels.hpp"
#include "simd/tables.hpp"

namespace heed::test {

using namespace simd;

namespace wide_pairs {

inline constexpr Isa target_isa = Isa::avx512_bf16;

template <class R>
inline constexpr int vl = 64 / sizeof(R);
template <class R>
using Vec = typename Register<R, vl<R>>::type;
template <class R>
inline constexpr int mr = 8;
template <class R>
inline constexpr int vectors = 2;

#include "heed/simd/target/gnu_operations.inl"
#include "heed/simd/target/kernels.inl"

HEED_INLINE Vec<float> add_pairs(Vec<float> a, Vec<float> b, Vec<float> c) {
  const auto first = [](Vec<float> v) { return (Vec<float>)((Words)v << 16); };
  const auto second = [](Vec<float> v) { return (Vec<float>)((Words)v & 0xffff0000u); };
  return fma(second(a), second(b), fma(first(a), first(b), c));
}

#include "simd/gnu_pairs.inl"

#include "heed/simd/gemm/bf16_pairs.inl"

}  // namespace wide_pairs

Tables<BFloat16> paired_tables() {
  Tables<BFloat16> all{{"pairs in GNU vectors", &wide_pairs::bf16_pairs_table<BFloat16>, nullptr,
                        &wide_pairs::bf16_pairs_gradient_table<BFloat16>, nullptr}};
  if (machine_isa() >= Isa::avx512_bf16) {
    all.push_back({"AVX-512 with BF16", &packed_kernels<BFloat16>(Isa::avx512_bf16), nullptr,
                   &gradient_kernels<BFloat16>(Isa::avx512_bf16), nullptr});
  }
  return all;
}

const LayerKernels<float>& paired_layers() {
  static constexpr LayerKernels<float> layers =
      wide_pairs::bf16_pairs_layers<float>(wide_pairs::rounded_layer_table<BFloat16>);
  return layers;
}

}  // namespace heed::test
