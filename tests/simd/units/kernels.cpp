// The kernels alone, whose loops are read in the disassembly.
#include "heed/simd/kernels.hpp"

namespace heed::test {

const simd::PackedKernels<float>& kernels_of_float(Isa isa) {
  return simd::element_kernels<float>(isa);
}
const simd::PackedKernels<double>& kernels_of_double(Isa isa) {
  return simd::element_kernels<double>(isa);
}

}  // namespace heed::test
