// y = f(x Wᵀ + b) for every token, by simd's kernels.
//
// Every output is one sum in ascending order of the features, so its bits depend on the token and
// the weight alone: not on the number of threads, the other tokens, or whether the weight was
// packed before.
#pragma once

#include <algorithm>

#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/nn/activation.hpp"
#include "heed/nn/options.hpp"
#include "heed/nn/packed.hpp"
#include "heed/nn/tokens.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// A weight of any strides, possibly some rows of a larger one, and a bias or none.
template <class T>
struct Affine {
  View<const T, 2> weight;    // [out, in]
  const T* bias = nullptr;    // [out] or null
  PackedRows<T> packed = {};  // the same weight as pack_weights leaves it, or nothing

  Index out() const { return weight.extent[0]; }
  Index in() const { return weight.extent[1]; }
};

// The cut of a product into tasks, and the scratch of a worker.
struct AffinePlan {
  Index tokens, rows;           // of all; of a task
  Index panels, panels_a_task;  // of outputs
  Index row_blocks, panel_blocks;

  Index tasks() const { return row_blocks * panel_blocks; }
};

// Packed rows stay in L2 while panels pass by. Measured (AVX2, 512 rows of 384 and
// of 1536): 96, 256 and 384 KiB of them are equally fast.
inline AffinePlan plan_affine(Index tokens, Index in, Index out, const simd::TileShape& tile_shape,
                              std::size_t element) {
  constexpr Index bytes = 128 << 10, panels_a_task = 8;
  const Index group_bytes =
      std::max<Index>(1, tile_shape.packed_k(in) * tile_shape.mr) * static_cast<Index>(element);
  const Index most = std::clamp<Index>(bytes / group_bytes, 2, 64) * tile_shape.mr;
  AffinePlan plan{};
  plan.tokens = tokens;
  plan.row_blocks = (tokens + most - 1) / most;
  const Index even = (tokens + plan.row_blocks - 1) / std::max<Index>(1, plan.row_blocks);
  plan.rows = tile_shape.rows_in_tiles(even);
  plan.row_blocks = plan.rows == 0 ? 0 : (tokens + plan.rows - 1) / plan.rows;
  plan.panels = tile_shape.panels(out);
  plan.panels_a_task = panels_a_task;
  plan.panel_blocks = (plan.panels + panels_a_task - 1) / panels_a_task;
  return plan;
}

// Scratch of one worker: a packed block of rows and one panel of their sums.
template <class T>
struct AffineWorker {
  Accum<T>* x;     // [rows, in]
  Accum<T>* sums;  // [rows, panel]
  T** rows;        // [rows], where each is written
  T* some;         // [panel], outputs on their way through an activation
  Index* block;    // [1], the block that x holds

  static AffineWorker carve(Carver& carver, const AffinePlan& plan, Index in,
                            const simd::TileShape& tile_shape) {
    const Index panel = tile_shape.nr;
    AffineWorker worker{};
    worker.x = carver.array<Accum<T>>(checked_product(plan.rows, tile_shape.packed_k(in)));
    worker.sums = carver.array<Accum<T>>(checked_product(plan.rows, panel));
    worker.rows = carver.array<T*>(plan.rows);
    worker.some = carver.array<T>(panel);
    worker.block = carver.array<Index>(1);
    return worker;
  }
};

// Rows `first` … of x into the worker, and where their results go.
template <class T>
Index read_rows(const AffineWorker<T>& worker, const AffinePlan& plan, Index block,
                const View<T, 3>& y, const View<const T, 3>& x,
                const simd::LayerKernels<T>& kernels) {
  const Index first = block * plan.rows;
  const Index count = std::min(plan.rows, plan.tokens - first);
  if (*worker.block == block) return count;
  for (Index r = 0; r < count; ++r) {
    worker.rows[r] = token(y, first + r);
    kernels.pack_rows({token(x, first + r), {1, x.extent[2]}, {0, x.stride[2]}}, r,
                      {worker.x, plan.rows, x.extent[2]});
  }
  *worker.block = block;
  return count;
}

// One panel of sums to where it belongs, through an activation that simd does not know.
template <class T, class F>
void finish_through(const AffineWorker<T>& worker, Index count, Index panel,
                    const simd::EpilogueArgs<T>& to, const F& activation,
                    const simd::LayerKernels<T>& kernels) {
  for (Index r = 0; r < count; ++r) {
    kernels.finish(worker.sums + r * panel, 1,
                   {&worker.some, 1, 0, to.columns, to.bias, to.activation});
    activate(activation, worker.some, to.columns, kernels);
    T* y = to.rows[r] + to.first * to.step;
    for (Index c = 0; c < to.columns; ++c) y[c * to.step] = worker.some[c];
  }
}

// Panel p of the outputs of the rows that a worker holds.
template <class T, class F>
void affine_panel(const AffineWorker<T>& worker, Index count, Index room, Index p, Index step,
                  const Affine<T>& affine, const F& activation,
                  const simd::LayerKernels<T>& kernels) {
  const Index panel = kernels.tile_shape.nr;
  const Index first = p * panel;
  const Index columns = std::min(panel, affine.out() - first);
  const T* bias = affine.bias == nullptr ? nullptr : affine.bias + first;
  const simd::EpilogueArgs<T> to{worker.rows, step, first, columns, bias, simd_activation_of<F>};
  const auto weight =
      packed_weight(affine.packed.data, kernels.tile_shape, affine.out(), affine.in());
  kernels.multiply({worker.x, room, affine.in()}, count, weight.from_panel(p), worker.sums);
  if constexpr (is_simd_activation<F>) {
    kernels.finish(worker.sums, count, to);
  } else {
    finish_through(worker, count, panel, to, activation, kernels);
  }
}

// Bytes of one worker.
template <class T>
std::size_t affine_worker_bytes(const AffinePlan& plan, Index in,
                                const simd::TileShape& tile_shape) {
  Carver counter(nullptr);
  AffineWorker<T>::carve(counter, plan, in, tile_shape);
  return counter.used();
}

// affine_into of a weight that is packed, with `bytes` for each of the workers from `memory` on.
template <class T, class F>
void packed_affine_into(const View<T, 3>& y, const View<const T, 3>& x, const Affine<T>& affine,
                        const Options& options, const F& activation, const AffinePlan& plan,
                        std::size_t bytes, std::byte* memory) {
  const auto& kernels = layer_kernels<T>(options);
  const int workers = worker_count(plan.tasks(), options.threads, options.executor);
  const auto worker_at = [&](int worker) {
    Carver carver(memory + bytes * static_cast<std::size_t>(worker));
    return AffineWorker<T>::carve(carver, plan, affine.in(), kernels.tile_shape);
  };
  for (int n = 0; n < workers; ++n) *worker_at(n).block = -1;
  parallel_for(plan.tasks(), workers, options.executor, [&](Index task, int n) {
    const auto worker = worker_at(n);
    const Index count = read_rows(worker, plan, task / plan.panel_blocks, y, x, kernels);
    const Index begin = task % plan.panel_blocks * plan.panels_a_task;
    for (Index p = begin; p < std::min(plan.panels, begin + plan.panels_a_task); ++p) {
      affine_panel(worker, count, plan.rows, p, y.stride[2], affine, activation, kernels);
    }
  });
}

// The cut of a product and the scratch of affine_into: the weight where it has to be packed,
// then one piece a worker.
template <class T>
struct AffineScratch {
  AffinePlan plan{};
  std::size_t worker_bytes = 0;
  bool packs = false;     // the weight
  Index packed = 0;       // numbers of it
  std::size_t bytes = 0;  // of all together

  AffineScratch(Index tokens, const Affine<T>& affine, const Options& options) {
    if (tokens == 0 || affine.out() == 0) return;
    const simd::TileShape& tile_shape = layer_kernels<T>(options).tile_shape;
    plan = plan_affine(tokens, affine.in(), affine.out(), tile_shape, sizeof(Accum<T>));
    worker_bytes = affine_worker_bytes<T>(plan, affine.in(), tile_shape);
    packs = !affine.packed.serves(options);
    packed = packs ? packed_size<T>(affine.out(), affine.in(), options) : 0;
    Carver counter(nullptr);
    counter.array<Accum<T>>(packed);
    counter.array<std::byte>(
        checked_product(static_cast<Index>(worker_bytes),
                        worker_count(plan.tasks(), options.threads, options.executor)));
    bytes = counter.used();
  }
};

// y = f(x Wᵀ + b)
//
//   x  [B, L, in]     any strides
//   y  [B, L, out]    written; any strides; must not overlap x
//
// Sums and bias in float for half types, rounded once before the activation (after it for simd's
// own). Time O(B·L·in·out); scratch O(threads · 128 KiB), and O(in·out) where the weight is not
// packed: from options.workspace, or one allocation.
template <class T, class F = Identity>
void affine_into(const View<T, 3>& y, const View<const T, 3>& x, const Affine<T>& affine,
                 const Options& options, const F& activation = {}) {
  const AffineScratch<T> cut(token_count(x), affine, options);
  if (cut.bytes == 0) return;
  const Scratch scratch(cut.bytes, options.workspace);
  Carver carver(scratch.begin());
  auto* packed = carver.array<Accum<T>>(cut.packed);
  Affine<T> with = affine;
  if (cut.packs) {
    pack_weights(affine.weight, packed, options);
    with.packed = {packed, options.compute};
  }
  packed_affine_into(y, x, with, options, activation, cut.plan, cut.worker_bytes,
                     scratch.begin() + carver.used());
}

}  // namespace HEED_ABI
}  // namespace heed::nn
