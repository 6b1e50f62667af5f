// A KV block: its keys and values found in their source, in place, gathered or packed.
#pragma once

#include "heed/attention/flash/tile_args.hpp"
#include "heed/kv/dense.hpp"

namespace heed {

// Some keys of a KV block and their values at equal stride.
template <class T>
struct KvRun {
  int first;  // counted from the block's first key
  View<const T, 2> k, v;
};

// Keys [begin, begin + keys). Packed ones are one run; the kernels read packed copies.
template <class T>
struct KvBlock {
  static constexpr int max_runs = 32;  // of 16 keys each in a block of 512

  int begin = 0, keys = 0;
  int run_count = 0;
  KvRun<T> runs[max_runs];
  bool inf_safe = true;  // q·k of an infinite operand comes out right
  bool finite = true;    // all packed values are finite

  const KvRun<T>& only_run() const {
    HEED_ASSERT(run_count == 1);
    return runs[0];
  }
};

inline namespace HEED_ABI {

// to[r][c] = x(r, c), rows contiguous.
template <class T>
void copy_rows(const View<const T, 2>& x, T* to) {
  for (Index r = 0; r < x.extent[0]; ++r) {
    for (Index c = 0; c < x.extent[1]; ++c) *to++ = x(r, c);
  }
}

// Copies the runs of a block into scratch, where they are one.
template <class T, class M, class S, class Kv>
KvRun<T> gather(const FlashTask<T, M, S>& task, const Kv& kv, Index begin, Index end) {
  const Index D = task.problem.shape.D, Dv = task.problem.shape.Dv;
  HEED_ASSERT(task.plan.gathers);
  T* k_rows = reinterpret_cast<T*>(task.scratch.gathered);
  T* v_rows = k_rows + task.plan.block * D;
  kv.for_each_run(begin, end, [&](Index first, const auto& k, const auto& v) {
    copy_rows<T>(k, k_rows + (first - begin) * D);
    copy_rows<T>(v, v_rows + (first - begin) * Dv);
  });
  return {0, {k_rows, {end - begin, D}, {D, 1}}, {v_rows, {end - begin, Dv}, {Dv, 1}}};
}

// The runs of a block where they are, if its kernels can read them there: packed calls read one,
// unpacked ones contiguous rows from the first key of a panel on. Else one run, gathered.
template <class T, class M, class S, class Kv>
void find_runs(const FlashTask<T, M, S>& task, const Kv& kv, KvBlock<T>& block) {
  const int nr = task.plan.tile_shape.nr;
  bool in_place = true;
  int count = 0;
  const Index end = Index{block.begin} + block.keys;
  kv.for_each_run(block.begin, end, [&](Index at, const auto& k, const auto& v) {
    const auto first = static_cast<int>(at - block.begin);
    in_place = in_place && count < block.max_runs && first % nr == 0;
    in_place = in_place && k.stride[1] == 1 && v.stride[1] == 1;
    if (count < block.max_runs) block.runs[count] = {first, k, v};
    ++count;
  });
  block.run_count = count;
  if (task.plan.unpacked ? in_place : count == 1) return;
  block.runs[0] = gather(task, kv, block.begin, end);
  block.run_count = 1;
}

// The keys [begin, begin + keys) for all rows of a task.
//   inf_safe  of its queries
template <class T, class M, class S, class Kv>
void load_kv(const FlashTask<T, M, S>& task, const Kv& kv, int begin, int keys, bool inf_safe,
             KvBlock<T>& block) {
  block.begin = begin;
  block.keys = keys;
  block.inf_safe = inf_safe;
  find_runs(task, kv, block);
  if (task.plan.unpacked) return;
  const simd::PackedKernels<T>& kernels = task.kernels.packed;
  const Shape& shape = task.problem.shape;
  const KvRun<T>& run = block.only_run();
  block.inf_safe &= kernels.pack_b_transposed(run.k, packed_keys(task.scratch, task.plan, shape));
  block.finite = task.kernels.values.pack_b(run.v, packed_values(task.scratch, task.plan, shape));
}

// Packs the values of an unpacked block.
template <class T, class M, class S>
void pack_v(const FlashTask<T, M, S>& task, const KvBlock<T>& block) {
  const Index Dv = task.problem.shape.Dv;
  const auto to = packed_values(task.scratch, task.plan, task.problem.shape);
  if (block.run_count == 1) {
    task.kernels.values.pack_b(block.runs[0].v, to);
    return;
  }
  T* rows = reinterpret_cast<T*>(task.scratch.gathered);
  for (int n = 0; n < block.run_count; ++n) {
    copy_rows<T>(block.runs[n].v, rows + block.runs[n].first * Dv);
  }
  task.kernels.packed.pack_b({rows, {block.keys, Dv}, {Dv, 1}}, to);
}

// f(run, scores, first_m_tile) for the tiles of each run of an unpacked block. Several runs cut the
// tiles of a row tile, which lie one behind the other, at panels.
template <class T, class R, class F>
void for_each_run(const KvBlock<T>& block, const simd::ScoreTiles<R>& scores, F&& f) {
  if (block.run_count == 1) return f(block.runs[0], scores, 0);
  for (int n = 0; n < block.run_count; ++n) {
    const KvRun<T>& run = block.runs[n];
    for (int g = 0; g < scores.m_tiles; ++g) {
      f(run, scores.part(g, run.first, static_cast<int>(run.k.extent[0])), g);
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed
