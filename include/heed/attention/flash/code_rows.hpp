// Queries and sums beside keys and values in codes: where those are rotated, q is rotated too, and
// out is rotated back.
#pragma once

#include <algorithm>

#include "heed/attention/flash/tile_args.hpp"
#include "heed/kv/code_panels.hpp"

namespace heed {

inline namespace HEED_ABI {

// Rotates the packed queries of a task, and makes codes of them where those of keys are multiplied.
template <class T, class M, class S, class Kv>
void prepare_queries(const FlashTask<T, M, S>& task, const Kv& kv) {
  const Index D = task.problem.shape.D;
  const auto q = task.scratch.q;
  const simd::CodeKernels& kernels = kv.kernels();
  for (Index i = 0; kv.rotated() && i < task.rows.count(); ++i) kv::rotate(kernels, q.row(i), D);
  if (!kernels.multiply_codes(D)) return;
  const auto& products = kernels.products->template of<Kv::Format::key_bits>();
  products.pack_queries(q.row(0), task.rows.count(), D);
}

// Rotates the weighted values of a task's rows back.
template <class T, class M, class S, class Kv>
void rotate_output(const FlashTask<T, M, S>& task, const Kv& kv) {
  if (!kv.rotated() || task.problem.shape.Lk == 0) return;  // without keys there is no scratch
  const Index Dv = task.problem.shape.Dv;
  const simd::Accumulator<T>& acc = task.state.acc;
  const simd::CodeKernels& kernels = kv.kernels();
  T* row = task.scratch.gathered;
  // f(part, width, of) for the parts of row i, whose columns begin at `of` in `row`.
  const auto for_each_part = [&](Index i, const auto& f) {
    for (Index p = 0, d = 0; d < Dv; d += acc.width(p), ++p) {
      f(acc.row(i, p), std::min(acc.width(p), Dv - d), row + d);
    }
  };
  for (Index i = 0; i < task.rows.count(); ++i) {
    for_each_part(i, [](const T* part, Index width, T* of) { std::copy_n(part, width, of); });
    kv::rotate_back(kernels, row, Dv);
    for_each_part(i, [](T* part, Index width, const T* of) { std::copy_n(of, width, part); });
  }
}

}  // namespace HEED_ABI
}  // namespace heed
