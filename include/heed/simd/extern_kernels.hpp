// Kernels compiled once for a program of many files, not in each of them.
//
// Every file is compiled with -DHEED_EXTERN_KERNELS, and one of them defines HEED_DEFINE_KERNELS
// before it includes heed: that file holds the kernels of all four element types. All have the same
// flags (core/abi.hpp); else the linker misses packed_kernels<T>. A file with one call then
// compiles in 0.7 of the time (g++ 12, -O2), and the one with the kernels in 2.5 times as much.
#pragma once

#include "heed/core/eigen.hpp"
#include "heed/simd/kernels.hpp"

#if defined(HEED_DEFINE_KERNELS)
#define HEED_KERNELS_ARE
#else
#define HEED_KERNELS_ARE extern
#endif
#define HEED_KERNELS_OF(T)                                                                        \
  HEED_KERNELS_ARE template const PackedKernels<T>& element_kernels<T>(Isa);                      \
  HEED_KERNELS_ARE template const PackedKernels<T>& exact_pv_kernels<T>(const PackedKernels<T>&); \
  HEED_KERNELS_ARE template const PackedKernels<T>& packed_kernels<T>(Isa);                       \
  HEED_KERNELS_ARE template const UnpackedKernels<T>& unpacked_kernels<T>(Isa);                   \
  HEED_KERNELS_ARE template const PanelKernels<T>& panel_kernels<T>(Isa);                         \
  HEED_KERNELS_ARE template const GradientKernels<T>& gradient_kernels<T>(Isa);                   \
  HEED_KERNELS_ARE template const LayerKernels<T>& layer_kernels<T>(Isa)
#define HEED_ROUNDED_KERNELS_OF(H)                                                          \
  HEED_KERNELS_ARE template const PackedKernels<float>& rounded_packed_kernels<H>(Isa);     \
  HEED_KERNELS_ARE template const GradientKernels<float>& rounded_gradient_kernels<H>(Isa); \
  HEED_KERNELS_ARE template const LayerKernels<float>& rounded_layer_kernels<H>(Isa)

namespace heed::simd {
inline namespace HEED_ABI {

HEED_KERNELS_OF(float);
HEED_KERNELS_OF(double);
HEED_KERNELS_OF(Half);
HEED_KERNELS_OF(BFloat16);
HEED_ROUNDED_KERNELS_OF(Half);
HEED_ROUNDED_KERNELS_OF(BFloat16);
HEED_KERNELS_ARE template const CodeKernels& code_kernels<float>(Isa);

}  // namespace HEED_ABI
}  // namespace heed::simd

#undef HEED_ROUNDED_KERNELS_OF
#undef HEED_KERNELS_OF
#undef HEED_KERNELS_ARE
