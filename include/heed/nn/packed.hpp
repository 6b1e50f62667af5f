// A weight in the order in which the kernels of this machine read it.
#pragma once

#include <algorithm>

#include "heed/core/parallel.hpp"
#include "heed/core/scratch.hpp"
#include "heed/core/view.hpp"
#include "heed/nn/options.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

// A weight [out, in] as the kernels multiply by it, in whole panels of outputs.
template <class R>
simd::PackedB<R> packed_weight(R* data, const simd::TileShape& shape, Index out, Index in) {
  return {data, in, shape.panels(out) * shape.nr, shape};
}

// Numbers that it has.
template <class T>
Index packed_size(Index out, Index in) {
  const simd::TileShape& shape = simd::layer_kernels<T>(isa()).tile_shape;
  return simd::PackedB<Accum<T>>::size(shape, in, shape.panels(out) * shape.nr);
}

// to = weight [out, in] of any strides in panels.
template <class T>
void pack_weights(const View<const T, 2>& weight, Accum<T>* to, const Options& options) {
  const auto& kernels = simd::layer_kernels<T>(isa());
  const Index panel = kernels.tile_shape.nr;
  const auto packed = packed_weight(to, kernels.tile_shape, weight.extent[0], weight.extent[1]);
  const int workers = worker_count(packed.panels(), options.threads, options.executor);
  parallel_for(packed.panels(), workers, options.executor, [&](Index p, int) {
    const Index first = p * panel;
    kernels.pack_weight(slice(weight, first, std::min(panel, weight.extent[0] - first)),
                        packed.from_panel(p));
  });
}

template <class T>
class PackedWeight {
 public:
  PackedWeight(const View<const T, 2>& weight, const Options& options)
      : in_(weight.extent[1]),
        data_(static_cast<std::size_t>(
                  checked_product(packed_size<T>(weight.extent[0], weight.extent[1]),
                                  static_cast<Index>(sizeof(Accum<T>)))),
              {}) {
    pack_weights(weight, begin(), options);
  }

  const Accum<T>* data() const { return reinterpret_cast<const Accum<T>*>(data_.begin()); }

  // The weight from output `first` on; null unless a panel begins there.
  const Accum<T>* rows(Index first) const {
    const simd::TileShape& shape = simd::layer_kernels<T>(isa()).tile_shape;
    if (first % shape.nr != 0) return nullptr;
    return packed_weight(data(), shape, first + shape.nr, in_).panel(first / shape.nr);
  }

 private:
  Accum<T>* begin() { return reinterpret_cast<Accum<T>*>(data_.begin()); }

  Index in_;
  Scratch data_;
};

}  // namespace HEED_ABI
}  // namespace heed::nn
