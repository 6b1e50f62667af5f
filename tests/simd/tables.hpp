// Every set of kernels that can be executed here: those of the machine's instruction sets, and the
// shapes of others' in vectors that any machine can run.
#pragma once

#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/simd/table.hpp"

namespace heed::test {

template <class T>
struct Table {
  const char* name;
  const simd::PackedKernels<T>* kernels;
  const simd::UnpackedKernels<T>* unpacked;
  const simd::GradientKernels<T>* gradients;
  const simd::LayerKernels<T>* layers;
  const simd::PanelKernels<T>* panels = nullptr;
};

template <class T>
using Tables = std::vector<Table<T>>;

// For float, double, Half and BFloat16.
template <class T>
Tables<T> tables();

// Those that multiply pairs, for BFloat16, Half and float; they have packed kernels, and those of
// pairs in registers gradients'.
template <class T>
Tables<T> packed_tables();

// Layers of float that round operands; layers alone. None of other types.
template <class T>
Tables<T> rounded_tables();

// Parts of tables(), each in a unit of its own.
template <class T>
Tables<T> shape_tables();
template <class T>
Tables<T> simde_tables();

// Parts of packed_tables().
Tables<BFloat16> paired_tables();
const simd::LayerKernels<float>& paired_layers();
template <class T>
Tables<T> tiled_tables();

}  // namespace heed::test
