// A weight in the order in which the kernels of this machine read it.
#pragma once

#include <algorithm>
#include <string>
#include <type_traits>

#include "heed/core/eigen.hpp"
#include "heed/core/error.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/core/view.hpp"
#include "heed/nn/options.hpp"
#include "heed/simd/compute.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// Kernels of the layers of a call. Throws heed::Error for a precision that T does not have.
template <class T>
const simd::LayerKernels<T>& layer_kernels(const Options& options) {
  if (options.compute.kernels == nullptr) return simd::layer_kernels<T>(isa());
  if constexpr (std::is_same_v<T, float>) {
    return options.compute.kernels->layer(isa());
  } else {
    throw Error(std::string("heed::nn: options.compute is for modules of float, not of ") +
                Element<T>::name);
  }
}

// A weight [out, in] as the kernels multiply by it, in whole panels of outputs.
template <class R>
simd::PackedB<R> packed_weight(R* data, const simd::TileShape& shape, Index out, Index in) {
  return {data, in, shape.columns_in_panels(out), shape};
}

// Numbers that it has.
template <class T>
Index packed_size(Index out, Index in, const Options& options) {
  const simd::TileShape& shape = layer_kernels<T>(options).tile_shape;
  return simd::PackedB<Accum<T>>::size(shape, in, shape.columns_in_panels(out));
}

// to = weight [out, in] of any strides in panels.
template <class T>
void pack_weights(const View<const T, 2>& weight, Accum<T>* to, const Options& options) {
  const auto& kernels = layer_kernels<T>(options);
  const Index panel = kernels.tile_shape.nr;
  const auto packed = packed_weight(to, kernels.tile_shape, weight.extent[0], weight.extent[1]);
  const int workers = worker_count(packed.panels(), options.threads, options.executor);
  parallel_for(packed.panels(), workers, options.executor, [&](Index p, int) {
    const Index first = p * panel;
    kernels.pack_weight(slice(weight, first, std::min(panel, weight.extent[0] - first)),
                        packed.from_panel(p));
  });
}

// Where a packed weight lies, or nothing, and the products that it was packed for.
template <class T>
struct PackedRows {
  const Accum<T>* data = nullptr;
  Compute compute = Compute::full;

  bool serves(const Options& options) const {
    return data != nullptr && compute == options.compute;
  }
};

template <class T>
class PackedWeight {
 public:
  PackedWeight(const View<const T, 2>& weight, const Options& options)
      : in_(weight.extent[1]),
        compute_(options.compute),
        shape_(layer_kernels<T>(options).tile_shape),
        data_(static_cast<std::size_t>(
                  checked_product(packed_size<T>(weight.extent[0], weight.extent[1], options),
                                  static_cast<Index>(sizeof(Accum<T>)))),
              {}) {
    pack_weights(weight, reinterpret_cast<Accum<T>*>(data_.begin()), options);
  }

  // The weight from output `first` on; nothing unless a panel begins there.
  PackedRows<T> rows(Index first) const {
    if (!shape_.begins_panel(first)) return {};
    const auto* data = reinterpret_cast<const Accum<T>*>(data_.begin());
    const auto all = packed_weight(data, shape_, first + shape_.nr, in_);
    return {all.panel(shape_.panel_of(first)), compute_};
  }

 private:
  Index in_;
  Compute compute_;
  simd::TileShape shape_;
  Scratch data_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
