// One kernel, as gate.py asks for it.
#include <heed/cuda/attention.cuh>
#include <heed/mask/causal.hpp>
#include <heed/score/alibi.hpp>

namespace heed::cuda {

#if HEED_MMA
using Loop = MainloopSm80<MmaTraits<HEED_WIDTH, HEED_EXACT, sizeof(HEED_ELEMENT)>, HEED_ELEMENT>;
#else
using Loop = MainloopSimt<SimtTraits<HEED_ELEMENT, HEED_WIDTH>, HEED_ELEMENT>;
#endif
using Kernel = ForwardKernel<Loop, HEED_MASK, HEED_SCORE>;

template __global__ void forward_kernel<Kernel>(const __grid_constant__ Kernel::Call);

}  // namespace heed::cuda
