// The kernels of this machine, and those of the other units of this folder.
#include "simd/tables.hpp"

#include "heed/core/eigen.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::test {

template <class T>
Tables<T> tables() {
  Tables<T> all;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (isa <= machine_isa())
      all.push_back({name_of(isa), &simd::element_kernels<T>(isa), &simd::unpacked_kernels<T>(isa),
                     &simd::gradient_kernels<T>(isa), &simd::layer_kernels<T>(isa),
                     &simd::panel_kernels<T>(isa)});
  }
  for (const Table<T>& table : shape_tables<T>()) all.push_back(table);
#if HEED_TEST_SIMDE
  for (const Table<T>& table : simde_tables<T>()) all.push_back(table);
#endif
  return all;
}

template <>
Tables<float> rounded_tables() {
  Tables<float> all{{"pairs in GNU vectors", nullptr, nullptr, nullptr, &paired_layers()}};
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    if (isa > machine_isa()) break;
    for (const auto* layers :
         {&simd::rounded_layer_kernels<BFloat16>(isa), &simd::rounded_layer_kernels<Half>(isa)}) {
      all.push_back({name_of(isa), nullptr, nullptr, nullptr, layers});
    }
  }
  return all;
}
template <>
Tables<double> rounded_tables() {
  return {};
}
template <>
Tables<Half> rounded_tables() {
  return {};
}
template <>
Tables<BFloat16> rounded_tables() {
  return {};
}

template Tables<float> tables();
template Tables<double> tables();
template Tables<Half> tables();
template Tables<BFloat16> tables();

}  // namespace heed::test
