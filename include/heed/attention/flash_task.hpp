// What one worker computes at a time: the queries of a task, against all keys they see.
#pragma once

#include "heed/attention/flash_plan.hpp"
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
  QueryRows rows;
  FlashScratch<R> scratch;

  const simd::Kernels<T>& kernels() const {
    return plan.cell.depth == 1 ? simd::kernels<T>(isa) : simd::packed_kernels<T>(isa);
  }
  Index kv_head() const { return rows.first_head / problem.shape.group(); }
};

inline namespace HEED_ABI {

// Rows of a tensor: as many queries of a head as the matrix has rows.
template <class T>
View<T, 2> slice(const View<T, 2>& x, Index begin, Index count) {
  return {x.data == nullptr ? nullptr : x.data + begin * x.stride[0],
          {count, x.extent[1]},
          {x.stride[0], x.stride[1]}};
}

}  // namespace HEED_ABI
}  // namespace heed
