// C (+)= A·B of packed operands, as a table of functions. approx and nn call products here, and
// attention and its gradients do.
//
//   product          forward    backward          operands
//   qk               q·kᵀ       dO·vᵀ             PackedA, PackedB   -> ScoreTiles
//   pv               p·v        dS·k              ScoreTiles, PackedB -> Accumulator
//   pv_transposed               pᵀ·dO, dSᵀ·q      ScoreTiles, PackedB -> Accumulator
//   (GradientKernels)
//
// Tiles whose coverage is 0 are skipped. Sums run in ascending order of K.
#pragma once

#include "heed/simd/gemm/packed.hpp"

namespace heed::simd {

// Each is documented at its definition: gemm/micro_kernel.inl, and gemm/bf16_pairs.inl and
// gemm/amx_tiles.inl, which compute the same on pairs of bfloat16.
template <class R>
struct GemmKernels {
  void (*qk)(const PackedA<const R>& a, const PackedB<const R>& b, const ScoreTiles<R>& c);
  void (*pv)(const ScoreTiles<R>& a, const PackedB<const R>& b, const Accumulator<R>& c);
  void (*pv_masked)(const ScoreTiles<R>& a, const PackedB<const R>& b, const std::uint8_t* unmasked,
                    const Accumulator<R>& c);
};

}  // namespace heed::simd
