// Feature maps and their derivatives as scan_gradients calls them, number by number.
#pragma once

#include <algorithm>

#include "heed/approx/linear/feature_map.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// d = d · f'(x) for runs of whole panels; compiled for each instruction set.
template <class R, class F>
struct MultiplyDerivatives {
  const F& f;
  const R* x;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* d, const Panels& panels) const {
    const R* from = x;
    for (Index p = 0; p < panels.count; ++p, d += Panel, from += Panel) {
      for (int c = 0; c < Panel; ++c) d[c] *= static_cast<R>(f.derivative(from[c]));
    }
  }
};

template <class T, class F>
struct ElementwiseGradient {
  using R = Accum<T>;
  static constexpr bool weighted = false;

  const F& f;

  R query_sign() const { return 1; }
  Index scratch(const ScanPlan& plan) const {
    return checked_product(plan.tile_shape.rows_in_tiles(ScanPlan::chunk), plan.features) +
           plan.tile_shape.nr;
  }

  // to [rows, D] = φ(x).
  void features(const ScanCall<T>& plan, const View<const T, 2>& x, R, R* to, R*, R*) const {
    plan.kernels.copy_rows(x, R(1), to);
    plan.template compiled<MapNumbers<R, F>, R*, Panels>()(MapNumbers<R, F>{f}, to,
                                                           panels_of(plan, x));
  }

  // d_x [rows, D] = d_features · φ'(x).
  void gradient(const ScanCall<T>& plan, const View<const T, 2>& x, R, const R*,
                const R* d_features, R* d_x, R* scratch) const {
    using Multiply = MultiplyDerivatives<R, F>;
    plan.kernels.copy_rows(x, R(1), scratch);
    std::copy_n(d_features, x.extent[0] * x.extent[1], d_x);
    plan.template compiled<Multiply, R*, Panels>()(Multiply{f, scratch}, d_x, panels_of(plan, x));
  }

 private:
  static Panels panels_of(const ScanCall<T>& plan, const View<const T, 2>& x) {
    return {plan.tile_shape.panels(x.extent[0] * x.extent[1])};
  }
};

}  // namespace HEED_ABI
}  // namespace heed::approx
