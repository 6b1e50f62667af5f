// The kernels alone, whose loops are read in the disassembly.
#include "heed/simd/kernels.hpp"

namespace heed::test {

const simd::Kernels<float>& kernels_of_float(Isa isa) { return simd::kernels<float>(isa); }
const simd::Kernels<double>& kernels_of_double(Isa isa) { return simd::kernels<double>(isa); }

}  // namespace heed::test
