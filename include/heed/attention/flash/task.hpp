// One worker's unit of work: the queries of a task against all keys that they see.
#pragma once

#include "heed/attention/flash/plan.hpp"
#include "heed/attention/problem.hpp"
#include "heed/simd/kernels.hpp"

namespace heed {

// Everything a task reads, and the scratch it writes. M and S are as the user gave them, unbound.
template <class T, class M, class S>
struct FlashTask {
  using R = Accum<T>;

  const Problem<T>& problem;
  const M& mask;
  const S& score;
  const FlashPlan& plan;
  Isa isa;
  QueryBlock rows;
  FlashScratch<R> scratch;
  R shrink = 1;  // of weights, before values are added

  const simd::Kernels<T>& kernels() const {
    return plan.unpacked || plan.tile_shape.k_pack == 1 ? simd::kernels<T>(isa)
                                                        : simd::packed_kernels<T>(isa);
  }
  Index kv_head() const { return rows.first_head / problem.shape.group(); }
};

inline namespace HEED_ABI {

// The tiles of a call that packs its keys. What sums in float is cut into parts for the products of
// tiles; heads below 48 would mostly be filled up. The number of tokens does not count: a text
// alone has the bits that it has padded in a batch.
template <class T>
simd::TileShape packed_tile_shape(const Shape& shape, Isa isa) {
  const simd::TileShape& packed = simd::packed_kernels<T>(isa).tile_shape;
  const bool pays = packed.splits == 1 || std::max(shape.D, shape.Dv) >= 48;
  return pays ? packed : simd::kernels<T>(isa).tile_shape;
}

}  // namespace HEED_ABI
}  // namespace heed
