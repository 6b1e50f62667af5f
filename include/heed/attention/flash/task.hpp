// One worker's unit of work: the queries of a task against all keys that they see.
#pragma once

#include "heed/attention/flash/head_context.hpp"
#include "heed/attention/flash/scratch.hpp"
#include "heed/attention/problem.hpp"
#include "heed/simd/compute.hpp"

namespace heed {

// The kernels of a call, chosen once.
template <class T>
struct FlashKernels {
  const simd::PackedKernels<T>& packed;
  const simd::UnpackedKernels<T>& unpacked;  // of plans that read keys and values where they are
  const simd::PackedKernels<T>& values = packed;  // of p·v
};

// Everything a task reads, and the scratch it writes. M and S are as the user gave them; they are
// bound once, in `heads`.
template <class T, class M, class S>
struct FlashTask {
  using R = Accum<T>;

  const Problem<T>& problem;
  const HeadContexts<M, S>& heads;
  const FlashPlan& plan;
  const FlashKernels<T>& kernels;
  QueryBlock rows;
  const FlashScratch<R>& scratch;
  simd::RowState<R> state = scratch.state;
  R shrink = 1;  // of weights, before values are added

  Index kv_head() const { return rows.first_head / problem.shape.group(); }
};

inline namespace HEED_ABI {

// Kernels of a call that packs its keys. For AMX operands whose sums are float are cut into parts;
// heads below 48 would mostly be filled up. The number of tokens does not count: a text alone has
// the bits that it has padded in a batch.
template <class T>
FlashKernels<T> packed_flash_kernels(const Shape& shape, Isa isa, Compute compute = Compute::full) {
  const simd::PackedKernels<T>& packed = simd::packed_kernels<T>(isa, compute);
  const bool pays = packed.tile_shape.splits == 1 || std::max(shape.D, shape.Dv) >= 48;
  return {pays ? packed : simd::element_kernels<T>(isa), simd::unpacked_kernels<T>(isa)};
}

// Kernels of a plan.
//   unrounded  out is not rounded to T, so weights are not either
template <class T>
FlashKernels<T> flash_kernels(const FlashPlan& plan, const Shape& shape, Isa isa,
                              bool unrounded = false, Compute compute = Compute::full) {
  if (plan.unpacked || plan.one_order) {
    return {simd::element_kernels<T>(isa), simd::unpacked_kernels<T>(isa)};
  }
  const FlashKernels<T> kernels = packed_flash_kernels<T>(shape, isa, compute);
  if (!unrounded) return kernels;
  return {kernels.packed, kernels.unpacked, simd::exact_pv_kernels<T>(kernels.packed)};
}

}  // namespace HEED_ABI
}  // namespace heed
