// A KV block: its keys and values found in their source, in place, gathered or packed.
#pragma once

#include "heed/attention/flash/kv_run.hpp"
#include "heed/attention/flash/kv_slices.hpp"
#include "heed/attention/flash/latent_values.hpp"
#include "heed/attention/flash/tile_args.hpp"
#include "heed/kv/dense.hpp"

namespace heed {

// Codes that are multiplied as they are: of keys by `keys`, of values by `values`; else null.
struct CodeBlock {
  const simd::CodeProducts* keys = nullptr;
  const simd::CodeProducts* values = nullptr;
  simd::CodePanel panels[32];  // of 16 keys each in a block of 512
};

// Keys [begin, begin + keys). Packed ones are one run; the kernels read packed copies, or panels
// where they lie.
template <class T>
struct KvBlock {
  using Element = T;
  static constexpr int max_runs = 32;  // of 16 keys each in a block of 512

  int begin = 0, keys = 0;
  int run_count = 0;
  KvRun<T> runs[max_runs];
  KvSlices<T> slices;  // instead of runs, of decoding
  Index last = 0;      // the source, or its split, ends there
  const Accum<T>* packed_keys = nullptr;
  const simd::PanelKernels<T>* of_panels = nullptr;  // of a source whose keys are panels
  bool inf_safe = true;                              // q·k of an infinite operand comes out right
  bool finite = true;                                // all packed values are finite
  CodeBlock codes;                                   // instead of runs

  const KvRun<T>& only_run() const {
    HEED_ASSERT(run_count == 1);
    return runs[0];
  }
};

inline namespace HEED_ABI {

// Kernels of a source's elements U, which q of T may differ from.
template <class U, class T>
const simd::UnpackedKernels<U>& unpacked_kernels_of(const FlashKernels<T>& kernels) {
  if constexpr (std::is_same_v<U, T>) {
    return kernels.unpacked;
  } else {
    return simd::unpacked_kernels<U>(kernels.packed.isa);
  }
}
template <class U, class T>
const simd::PackedKernels<U>& packed_kernels_of(const simd::PackedKernels<T>& kernels) {
  if constexpr (std::is_same_v<U, T>) {
    return kernels;
  } else {
    return simd::element_kernels<U>(kernels.isa);
  }
}

// s = q·kᵀ and o += p·v on the codes of a block, which sums of float alone have.
template <class R>
void multiply_keys(const CodeBlock& codes, const TileArgs<R>& tiles) {
  if constexpr (std::is_same_v<R, float>) codes.keys->qk(tiles.q, codes.panels, tiles.scores);
}
template <class R>
void multiply_values(const CodeBlock& codes, const TileArgs<R>& tiles) {
  if constexpr (std::is_same_v<R, float>) {
    codes.values->pv(tiles.scores, codes.panels, tiles.state.acc);
  }
}

// Copies the runs of a block into scratch, where they are one.
//   copies_values  false where they are read where they lie
template <class U, class T, class M, class S, class Kv>
KvRun<U> gather(const FlashTask<T, M, S>& task, const Kv& kv, Index begin, Index end,
                bool copies_values) {
  const Index D = task.problem.shape.D, Dv = task.problem.shape.Dv;
  const Index nr = task.plan.tile_shape.nr;
  HEED_ASSERT(task.plan.gathers);
  U* keys = reinterpret_cast<U*>(task.scratch.gathered);
  U* values = keys + task.plan.block * D;
  KvRun<U> run{0,
               {keys, {end - begin, D}, {D, 1}},
               {values, {end - begin, Dv}, {Dv, 1}},
               kv::PanelSource<Kv, U> ? keys : nullptr};
  for_each_source_run<U>(kv, begin, end, [&](Index first, const auto& k, const auto& v) {
    if constexpr (kv::PanelSource<Kv, U>) {
      kv::copy_keys(k, D, nr, first - begin, keys);
    } else {
      copy_rows<U>(k, keys + (first - begin) * D);
    }
    if (copies_values) {
      copy_rows<U>(v, values + (first - begin) * Dv);
    } else {
      run.v = v;
    }
  });
  return run;
}

// Keys in place as a run, if kernels that read NR keys together can begin with them.
template <class U>
bool find_run(int first, Index, const simd::TileShape& shape, const View<const U, 2>& k,
              const View<const U, 2>& v, KvRun<U>& run) {
  run = {first, k, v, nullptr};
  return shape.begins_panel(first) && k.stride[1] == 1 && v.stride[1] == 1;
}
template <class U>
bool find_run(int first, Index D, const simd::TileShape& shape, const kv::PanelKeys<U>& k,
              const View<const U, 2>& v, KvRun<U>& run) {
  run = {first, {nullptr, {k.count, D}, {0, 0}}, v, k.panels};
  return shape.begins_panel(first) && k.offset == 0 && k.width == shape.nr;
}

// The runs of a block where they are, if its kernels can read them there: packed calls read one,
// unpacked ones contiguous rows from the first key of a panel on, and both panels from their first
// column on. Else one run, gathered.
template <class T, class M, class S, class Kv, class U>
void find_runs(const FlashTask<T, M, S>& task, const Kv& kv, KvBlock<U>& block) {
  const Index end = Index{block.begin} + block.keys;
  if constexpr (kv::PanelSource<Kv, U> && !kv::LatentSource<Kv>) {
    if (task.plan.unpacked) {
      find_slices(kv, task.problem.shape, task.plan.tile_shape, block.begin, block.keys, block.last,
                  block.slices);
      if (block.slices.used) return;
    }
  }
  bool in_place = true;
  int count = 0;
  for_each_source_run<U>(kv, block.begin, end, [&](Index at, const auto& k, const auto& v) {
    KvRun<U> last;
    KvRun<U>& run = count < block.max_runs ? block.runs[count] : last;
    in_place &= find_run(static_cast<int>(at - block.begin), task.problem.shape.D,
                         task.plan.tile_shape, k, v, run);
    ++count;
  });
  block.run_count = count;
  const bool panels = kv::PanelSource<Kv, U>;
  const bool readable = in_place || !panels;
  if (task.plan.unpacked ? in_place && count <= block.max_runs : count == 1 && readable) return;
  block.runs[0] =
      gather<U>(task, kv, block.begin, end, !kv::LatentSource<Kv> && !(panels && count == 1));
  block.run_count = 1;
}

// Keys and values in codes as one run of numbers: keys in panels, values in rows.
template <class T, class M, class S, kv::CodeSource Kv, class U>
void find_runs(const FlashTask<T, M, S>& task, const Kv& kv, KvBlock<U>& block) {
  const Index D = task.problem.shape.D, Dv = task.problem.shape.Dv, keys = block.keys;
  U* k = task.scratch.gathered;
  U* v = k + task.plan.block * D;
  kv.widen(block.begin, block.begin + keys, k, v);
  block.runs[0] = {0, {nullptr, {keys, D}, {0, 0}}, {v, {keys, Dv}, {Dv, 1}}, k};
  block.run_count = 1;
}

// Panels of U as those of numbers that are summed.
template <class T, class M, class S, class U>
const Accum<U>* widen_panels(const FlashTask<T, M, S>& task, const KvRun<U>& run) {
  if constexpr (std::is_same_v<U, Accum<U>>) {
    return run.panels;
  } else {
    const simd::TileShape& shape = task.plan.tile_shape;
    const simd::ColumnPanels<const U> keys{run.panels, task.problem.shape.D, shape.nr};
    const View<const U, 2> panels = keys.as_rows(shape.panels(run.k.extent[0]));
    packed_kernels_of<U>(task.kernels.packed)
        .pack_a(panels, 1, {task.scratch.kt.data, panels.extent[1], shape});
    return task.scratch.kt.data;
  }
}

// The panels of a block whose codes are multiplied as they are, if they can be.
template <class T, class M, class S, class Kv, class U>
bool find_codes(const FlashTask<T, M, S>& task, const Kv& kv, KvBlock<U>& block) {
  if constexpr (kv::CodeSource<Kv>) {
    const simd::CodeKernels& kernels = kv.kernels();
    if (!kernels.multiply_codes(task.problem.shape.D)) return false;
    block.codes.keys = &kernels.products->template of<Kv::Format::key_bits>();
    block.codes.values = &kernels.products->template of<Kv::Format::value_bits>();
    simd::CodePanel* to = block.codes.panels;
    kv.for_each_code_panel(block.begin, Index{block.begin} + block.keys,
                           [&](const simd::CodePanel& panel) { *to++ = panel; });
    return true;
  }
  return false;
}

// The keys [begin, begin + keys) for all rows of a task.
//   inf_safe  of its queries
template <class T, class M, class S, class Kv, class U>
void load_kv(const FlashTask<T, M, S>& task, const Kv& kv, int begin, int keys, bool inf_safe,
             KvBlock<U>& block) {
  block.begin = begin;
  block.keys = keys;
  block.inf_safe = inf_safe;
  block.packed_keys = task.scratch.kt.data;
  if (find_codes(task, kv, block)) return;
  find_runs(task, kv, block);
  if constexpr (kv::LatentSource<Kv>) find_latent_values(task, block);
  HEED_ASSERT(inf_safe || block.runs[0].panels == nullptr);  // scores computed again read rows
  if (task.plan.unpacked) return;
  const KvRun<U>& run = block.only_run();
  if (run.panels != nullptr) {
    block.packed_keys = widen_panels(task, run);
  } else {
    block.inf_safe &=
        packed_kernels_of<U>(task.kernels.packed).pack_b_transposed(run.k, task.scratch.kt);
  }
  block.finite = packed_kernels_of<U>(task.kernels.values).pack_b(run.v, task.scratch.v);
}

// f(first, v) for the values of an unpacked block.
template <class T, class M, class S, class U, class F>
void for_each_values(const FlashTask<T, M, S>& task, const KvBlock<U>& block, F&& f) {
  if (block.slices.used) {
    for_each_slice_of_values(block.slices, task.plan.tile_shape.vl, block.keys,
                             task.problem.shape.Dv, f);
    return;
  }
  for (int n = 0; n < block.run_count; ++n) f(block.runs[n].first, block.runs[n].v);
}

// Packs the values of an unpacked block.
template <class T, class M, class S, class U>
void pack_v(const FlashTask<T, M, S>& task, const KvBlock<U>& block) {
  const Index Dv = task.problem.shape.Dv;
  const auto& to = task.scratch.v;
  const simd::PackedKernels<U>& kernels = packed_kernels_of<U>(task.kernels.values);
  if (!block.slices.used && block.run_count == 1) {
    kernels.pack_b(block.runs[0].v, to);
    return;
  }
  U* rows = reinterpret_cast<U*>(task.scratch.gathered);
  for_each_values(task, block, [&](Index first, const View<const U, 2>& v) {
    copy_rows<U>(v, rows + first * Dv);
  });
  kernels.pack_b({rows, {block.keys, Dv}, {Dv, 1}}, to);
}

}  // namespace HEED_ABI
}  // namespace heed
