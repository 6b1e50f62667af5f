// The gradients of y = x Wᵀ + b, by simd's kernels.
//
// dx = dy W is the product of product.hpp with the weight transposed. dW += dyᵀ x and db += Σ dy
// sum over the tokens in blocks of 512: one ascending sum a block, the blocks in ascending order.
// So bits depend on the tensors alone, never on the threads.
#pragma once

#include <algorithm>
#include <vector>

#include "heed/core/zeros.hpp"
#include "heed/nn/gradients.hpp"
#include "heed/nn/product.hpp"

namespace heed::nn {

// Gradients of an Affine, to be added to.
template <class T>
struct AffineGradient {
  View<T, 2> weight;  // [out, in], column-major
  T* bias = nullptr;  // [out] or null
};

inline namespace HEED_ABI {

// The tokens [B, L, features] as rows [B·L, features], copied only where no stride reaches them.
template <class T>
class TokenRows {
 public:
  explicit TokenRows(const View<const T, 3>& x)
      : view_{x.data, {token_count(x), x.extent[2]}, {x.stride[1], x.stride[2]}} {
    if (x.extent[1] == 1) view_.stride[0] = x.stride[0];
    if (x.extent[0] <= 1 || x.extent[1] <= 1 || x.stride[0] == x.extent[1] * x.stride[1]) return;
    copy_ = zeros<T>(checked_size(x));
    for (Index n = 0; n < token_count(x); ++n) {
      read_token(x, n, copy_.data() + n * x.extent[2]);
    }
    view_ = matrix_of(std::as_const(copy_).data(), token_count(x), x.extent[2]);
  }

  const View<const T, 2>& view() const { return view_; }

 private:
  std::vector<T> copy_;
  View<const T, 2> view_;
};

// dx = dy W
//
//   dy  [B, L, out]    dx  [B, L, in], written; any strides; must not overlap dy
//
// Time and scratch as affine_into of a weight that is not packed; options.workspace, which has room
// for forward's scratch, is not used.
template <class T>
void input_gradient_into(const View<T, 3>& dx, const View<const T, 3>& dy, const Affine<T>& affine,
                         const Options& options) {
  Options own = options;
  own.workspace = {};
  affine_into(dx, dy, Affine<T>{transposed(affine.weight)}, own);
}

// totals[j] += Σ x(n, j) over the rows in ascending order; 64 columns a task.
template <class T>
void add_column_totals(double* totals, const View<const T, 2>& x, const Options& options) {
  constexpr Index width = 64;
  const auto& kernels = simd::layer_kernels<T>(isa());
  const Index tasks = (x.extent[1] + width - 1) / width;
  const int workers = worker_count(tasks, options.threads, options.executor);
  parallel_for(tasks, workers, options.executor, [&](Index task, int) {
    const Index first = task * width, count = std::min(width, x.extent[1] - first);
    kernels.add_columns(
        {x.data + first * x.stride[1], {x.extent[0], count}, {x.stride[0], x.stride[1]}},
        totals + first);
  });
}

// sum[j] += totals[j], rounded once.
template <class T>
void add_totals(T* sum, const std::vector<double>& totals) {
  for (const double total : totals) *sum++ += static_cast<T>(total);
}

// sum[j] += Σ x(n, j), in double.
template <class T>
void add_column_sums(T* sum, const View<const T, 2>& x, const Options& options) {
  auto totals = zeros<double>(x.extent[1]);
  add_column_totals(totals.data(), x, options);
  add_totals(sum, totals);
}

// One block of tokens of dW += dyᵀ x. A task computes some columns of dW, and packs x for them.
template <class T>
class WeightGradientBlock {
 public:
  static constexpr Index tokens = 512;

  WeightGradientBlock(Index in, Index out, const Options& options)
      : kernels_(layer_kernels<T>(options)),
        options_(options),
        plan_(plan_affine(in, tokens, out, kernels_.tile_shape, sizeof(T))),
        worker_bytes_(affine_worker_bytes<T>(plan_, tokens, kernels_.tile_shape)),
        workers_(worker_count(plan_.tasks(), options.threads, options.executor)),
        scratch_(packed_bytes(out) + worker_bytes_ * static_cast<std::size_t>(workers_), {}),
        packed_(reinterpret_cast<T*>(scratch_.begin())),
        workers_begin_(scratch_.begin() + packed_bytes(out)) {}

  // dw += dyᵀ x, dw column-major
  //   dy [n, out]   x [n, in]   n at most `tokens`
  void add(const View<T, 2>& dw, const View<const T, 2>& dy, const View<const T, 2>& x) {
    HEED_ASSERT(dw.stride[0] == 1);
    pack_weights(transposed(dy), packed_, options_);
    for (int n = 0; n < workers_; ++n) *worker(n, x.extent[0]).block = -1;
    parallel_for(plan_.tasks(), workers_, options_.executor, [&](Index task, int n) {
      const auto mine = worker(n, x.extent[0]);
      const Index block = task / plan_.panel_blocks;
      if (*mine.block != block) pack(mine, block, x);
      *mine.block = block;
      const Index begin = task % plan_.panel_blocks * plan_.panels_a_task;
      const Index end = std::min(plan_.panels, begin + plan_.panels_a_task);
      for (Index p = begin; p < end; ++p) add_panel(mine, block, p, dw, x.extent[0]);
    });
  }

 private:
  // Of a packed block of dy.
  std::size_t packed_bytes(Index out) const {
    Carver counter(nullptr);
    counter.array<T>(packed_size<T>(out, tokens, options_));
    return counter.used();
  }
  AffineWorker<T> worker(int n, Index depth) const {
    Carver carver(workers_begin_ + worker_bytes_ * static_cast<std::size_t>(n));
    return AffineWorker<T>::carve(carver, plan_, depth, kernels_.tile_shape);
  }
  Index columns_of(Index block) const {
    return std::min(plan_.rows, plan_.tokens - block * plan_.rows);
  }
  // Columns of x become the rows of a product.
  void pack(const AffineWorker<T>& mine, Index block, const View<const T, 2>& x) const {
    const View<const T, 2> columns{x.data + block * plan_.rows * x.stride[1],
                                   {x.extent[0], columns_of(block)},
                                   {x.stride[0], x.stride[1]}};
    kernels_.pack_columns(columns, {mine.x, plan_.rows, x.extent[0]});
  }
  void add_panel(const AffineWorker<T>& mine, Index block, Index p, const View<T, 2>& dw,
                 Index depth) const {
    const Index nr = kernels_.tile_shape.nr, first = p * nr;
    const auto b = packed_weight(packed_, kernels_.tile_shape, dw.extent[0], depth);
    kernels_.multiply_columns({mine.x, plan_.rows, depth}, columns_of(block), b.from_panel(p),
                              mine.sums, &dw(first, block * plan_.rows), dw.stride[1],
                              std::min(nr, dw.extent[0] - first));
  }

  const simd::LayerKernels<T>& kernels_;
  const Options& options_;
  AffinePlan plan_;  // of a product whose rows are the columns of x
  std::size_t worker_bytes_;
  int workers_;
  Scratch scratch_;
  T* packed_;                 // a block of dy
  std::byte* workers_begin_;  // where the scratch of the workers stands
};

// dW += dyᵀ x and db += Σ dy
//
//   dy  [B, L, out]    x  [B, L, in]    any strides
//
// Time O(B·L·in·out); scratch O(512·out + threads · 128 KiB).
template <class T>
void add_affine_gradient(const AffineGradient<T>& gradient, const View<const T, 3>& dy,
                         const View<const T, 3>& x, const Options& options) {
  check_trainable<T>();
  const View<T, 2>& dw = gradient.weight;
  const TokenRows<T> d_rows(dy), rows(x);
  const Index tokens = token_count(x);
  if (gradient.bias != nullptr) add_column_sums(gradient.bias, d_rows.view(), options);
  if (tokens == 0 || dw.empty()) return;
  WeightGradientBlock<T> block(dw.extent[1], dw.extent[0], options);
  for (Index first = 0; first < tokens; first += block.tokens) {
    const Index count = std::min(block.tokens, tokens - first);
    block.add(dw, slice(d_rows.view(), first, count), slice(rows.view(), first, count));
  }
}

}  // namespace HEED_ABI
}  // namespace heed::nn
