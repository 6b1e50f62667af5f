// One kernel, as gate.py asks for it.
#include <heed/cuda/attention.cuh>
#include <heed/mask/causal.hpp>
#include <heed/score/alibi.hpp>

namespace heed::cuda {

#if HEED_FLASH
using Sum = float;
using ThisCut = KernelTraits<HEED_WIDTH, HEED_EXACT, sizeof(HEED_ELEMENT)>;
template <class M, class S>
using Kernel = FlashForward<ThisCut, HEED_ELEMENT, M, S>;
#else
using Sum = HEED_ELEMENT;
using ThisCut = SimtTraits<HEED_ELEMENT, HEED_WIDTH>;
template <class M, class S>
using Kernel = PlainForward<ThisCut, HEED_ELEMENT, M, S>;
#endif

template <class M, class S>
using Call = ForwardCall<HEED_ELEMENT, Sum, M, S>;

using Mask = HEED_MASK;
using Score = HEED_SCORE;

template __global__ void forward_kernel<Kernel<Mask, Score>, ThisCut, Call<Mask, Score>>(
    const __grid_constant__ Call<Mask, Score>);

}  // namespace heed::cuda
