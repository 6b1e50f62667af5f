// The kernels of nn's layers, as a table of functions: one row block against one panel of weights.
#pragma once

#include <cstdint>
#include <optional>

#include "heed/core/random.hpp"
#include "heed/core/types.hpp"
#include "heed/core/view.hpp"
#include "heed/simd/gemm/blocked.hpp"
#include "heed/simd/gemm/packed.hpp"
#include "heed/simd/layer/activation.hpp"

namespace heed::simd {

// Where a panel's outputs go.
template <class T>
struct EpilogueArgs {
  T* const* rows;  // [count], where each row begins
  Index step;      // from an output to the next
  Index first;     // output of the panel's first column
  Index columns;   // ≤ panel
  const T* bias;   // [columns] or null
  Activation activation;
};

// Normalisation by the root of the mean square, or of the variance about the mean.
enum class Norm { rms, layer };

// The numbers of a step of Adam, train/adam.hpp.
template <class R>
struct AdamFactors {
  R beta1, rest1;   // of the first moment and of what it gains: beta, 1 − beta
  R beta2, rest2;   // of the second
  R decay, shrink;  // of the parameter: added to the gradient; what is kept of it
  R size, unbias, eps;
};

// Numbers as products round operands, documented in rounded.inl.
template <class T>
struct RoundingKernels {
  void (*round)(T* x, Index size);
  void (*narrow)(const T* x, std::uint16_t* to, Index size);
  void (*widen)(const std::uint16_t* x, T* to, Index size);
};

// Kernels for tensors of T, summed in R. Each is documented in products.inl, layers.inl,
// activation.inl, gradient.inl, update.inl, rounded.inl or bf16_pairs_layers.inl.
template <class T>
struct LayerKernels {
  using R = Accum<T>;

  TileShape tile_shape;
  void (*pack_weight)(const View<const T, 2>& w, const PackedB<R>& to);
  void (*pack_rows)(const View<const T, 2>& x, Index at, const BlockedA<R>& to);
  void (*multiply)(const BlockedA<const R>& x, Index count, const PackedB<const R>& w, R* sums);
  void (*pack_columns)(const View<const T, 2>& x, const BlockedA<R>& to);
  void (*multiply_columns)(const BlockedA<const R>& a, Index count, const PackedB<const R>& b,
                           R* sums, R* c, Index stride, Index columns);
  void (*add_columns)(const View<const T, 2>& x, double* sums);
  void (*finish)(const R* sums, Index count, const EpilogueArgs<T>& to);
  void (*activate)(Activation activation, T* x, Index size);
  void (*activation_gradient)(Activation activation, const T* x, T* d, Index size);
  void (*normalise)(Norm norm, T* row, Index size, const T* weight, const T* bias, double eps);
  void (*normalise_gradient)(Norm norm, const T* x, T* d, Index size, const T* weight, double eps,
                             double* d_weight, double* d_bias);
  void (*drop)(T* x, Index rows, Index columns, Index stride, const Dropout& dropout,
               const Words4& at);  // dropout.inl
  double (*sum_squares)(const T* x, Index size);
  void (*adam)(const AdamFactors<R>& by, R* p, const R* g, R* m, R* v, Index size);
  std::optional<RoundingKernels<T>> rounding{};  // of products that round their operands
};

}  // namespace heed::simd
