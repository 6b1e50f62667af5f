// y = f(x Wᵀ + b) for every token, in blocks of a fixed number of rows.
//
// Bits never depend on the number of threads nor on the other tokens, because Eigen always sees the
// same product: a whole block, padded with zeros, whose rows it treats alike. That holds for block
// sizes that are multiples of the columns of Eigen's register tile (4, 8 or 24).
#pragma once

#include <Eigen/Core>
#include <algorithm>

#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/nn/activation.hpp"
#include "heed/nn/options.hpp"
#include "heed/nn/tokens.hpp"

namespace heed::nn {

// Measured (GFLOP/s of one core, SSE build) for 8, 16, 24, 32, 48 and 96 rows of
// [·,384]×[384,384]: 23, 27, 29, 29, 29, 32; of [·,384]×[384,1536]: 22, 26, 28, 29, 30, 31. At most
// 32: Eigen then knows at compile time not to share a block among OpenMP threads of its own.
inline constexpr int block_rows = 24;

// A weight [out, in], column-major, possibly some rows of a larger one, and a bias or none.
template <class T>
struct Affine {
  const T* weight;
  Index out, in;
  Index weight_stride;  // from a column to the next
  const T* bias;        // [out] or null
};

inline namespace HEED_ABI {

template <class T>
Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>, 0, Eigen::OuterStride<>>
weight_map(const Affine<T>& affine) {
  return {affine.weight, affine.out, affine.in, Eigen::OuterStride<>(affine.weight_stride)};
}

// y [block_rows, out] = x [block_rows, in] Wᵀ
template <class T>
void multiply_block(T* y, const T* x, const Affine<T>& affine) {
  using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor, block_rows>;
  Eigen::Map<Rows> to(y, block_rows, affine.out);
  if (affine.in == 0) {
    to.setZero();
  } else {
    to.noalias() =
        Eigen::Map<const Rows>(x, block_rows, affine.in) * weight_map(affine).transpose();
  }
}

// y = f(x Wᵀ + b)
//
//   x  [B, L, in]     any strides
//   y  [B, L, out]    written; any strides; must not overlap x
//
// Time O(B·L·in·out); scratch O(threads · block · (in + out)), one allocation.
template <class T, class F = Identity>
void affine_into(const View<T, 3>& y, const View<const T, 3>& x, const Affine<T>& affine,
                 const Options& options, const F& activation = {}) {
  const Index tokens = token_count(x);
  const Index blocks = (tokens + block_rows - 1) / block_rows;
  if (blocks == 0 || affine.out == 0) return;
  const int workers = worker_count(blocks, options.threads, options.executor);
  const auto carve = [&](Carver& carver, T*& in, T*& out) {
    in = carver.array<T>(checked_product(block_rows, affine.in));
    out = carver.array<T>(checked_product(block_rows, affine.out));
    return carver.used();
  };
  T *in = nullptr, *out = nullptr;
  Carver counter(nullptr);
  const std::size_t bytes = carve(counter, in, out);
  const Scratch scratch(bytes * static_cast<std::size_t>(workers), {});
  parallel_for(blocks, workers, options.executor, [&](Index block, int worker) {
    Carver carver(scratch.begin() + bytes * static_cast<std::size_t>(worker));
    T *from = nullptr, *to = nullptr;
    carve(carver, from, to);
    const Index first = block * block_rows;
    const Index rows = std::min<Index>(block_rows, tokens - first);
    for (Index r = 0; r < rows; ++r) read_token(x, first + r, from + r * affine.in);
    std::fill(from + rows * affine.in, from + block_rows * affine.in, T(0));
    multiply_block(to, from, affine);
    for (Index r = 0; r < rows; ++r) {
      T* row = to + r * affine.out;
      if (affine.bias != nullptr) {
        for (Index j = 0; j < affine.out; ++j) row[j] += affine.bias[j];
      }
      activate(activation, row, affine.out);
      write_token(y, first + r, row);
    }
  });
}

}  // namespace HEED_ABI
}  // namespace heed::nn
