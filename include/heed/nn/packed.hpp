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

// Numbers that a packed weight [out, in] has.
template <class T>
Index packed_size(Index out, Index in) {
  const simd::TileShape& tile_shape = simd::layer_kernels<T>(isa()).tile_shape;
  return checked_product(tile_shape.panels(out) * tile_shape.nr, in);
}

// to = weight [out, in] of any strides in panels: to[panel][in][columns of a panel].
template <class T>
void pack_weights(const View<const T, 2>& weight, Accum<T>* to, const Options& options) {
  const auto& kernels = simd::layer_kernels<T>(isa());
  const Index panel = kernels.tile_shape.nr;
  const Index panels = kernels.tile_shape.panels(weight.extent[0]);
  const int workers = worker_count(panels, options.threads, options.executor);
  parallel_for(panels, workers, options.executor, [&](Index p, int) {
    View<const T, 2> part = weight;
    part.data += p * panel * weight.stride[0];
    part.extent[0] = std::min(panel, weight.extent[0] - p * panel);
    kernels.pack_weight(part, to + p * panel * weight.extent[1]);
  });
}

}  // namespace HEED_ABI

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
    const Index panel = simd::layer_kernels<T>(isa()).tile_shape.nr;
    return first % panel == 0 ? data() + first * in_ : nullptr;
  }

 private:
  Accum<T>* begin() { return reinterpret_cast<Accum<T>*>(data_.begin()); }

  Index in_;
  Scratch data_;
};

}  // namespace heed::nn
