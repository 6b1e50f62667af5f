// Feature maps φ of linear attention: functions of one number, never negative, that are applied to
// every number of a query or key. A user's own is any callable R -> R.
#pragma once

#include <algorithm>
#include <concepts>

#include "heed/approx/linear/scan_plan.hpp"
#include "heed/core/elementary.hpp"

namespace heed::approx {

// x + 1 above 0, e^x below: Katharopoulos et al. (2020), equation 7.
struct EluPlusOne {
  template <class R>
  [[gnu::always_inline]] constexpr R operator()(R x) const {
    constexpr R log2_e = static_cast<R>(1.442695040888963407359924681L);
    constexpr R lowest = Exp2<R>::lowest + 1;
    R power = select(x < R(0), x * log2_e, R(0));
    power = select(power > lowest, power, lowest);
    const R above = x + R(1);
    return select(x < R(0), exp2_of_negative(power), above);  // a NaN comes out of `above`
  }
  // 1 above 0, e^x below.
  template <class R>
  [[gnu::always_inline]] constexpr R derivative(R x) const {
    return select(x < R(0), (*this)(x), R(1));
  }
};

// max(x, 0): a query may then see nothing of any key, and its out is 0.
struct Relu {
  template <class R>
  [[gnu::always_inline]] constexpr R operator()(R x) const {
    return select(x < R(0), R(0), x);
  }
  template <class R>
  [[gnu::always_inline]] constexpr R derivative(R x) const {
    return select(x > R(0), R(1), R(0));
  }
};

// A feature map of two callables R -> R, its value and its derivative.
template <class F, class D>
struct WithDerivative {
  F of_value;
  D of_derivative;

  template <class R>
  [[gnu::always_inline]] constexpr R operator()(R x) const {
    return static_cast<R>(of_value(x));
  }
  template <class R>
  [[gnu::always_inline]] constexpr R derivative(R x) const {
    return static_cast<R>(of_derivative(x));
  }
};

inline namespace HEED_ABI {

// F maps numbers of R to such.
template <class F, class R>
concept FeatureMap = std::is_invocable_r_v<R, const F&, R>;

// A feature map that gradients flow through.
template <class F, class R>
concept DifferentiableMap = FeatureMap<F, R> && requires(const F& f, R x) {
  { f.derivative(x) } -> std::convertible_to<R>;
};

// A lambda with its derivative, for linear_backward: map(x) and derivative(x), R -> R. Neither is
// checked against the other: inspect::gradcheck does.
template <class F, class D>
constexpr WithDerivative<F, D> with_derivative(const F& map, const D& derivative) {
  return {map, derivative};
}

// f of every number; compiled for each instruction set, with f inlined.
template <class R, class F>
struct MapNumbers {
  const F& f;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* x, const Panels& panels) const {
    for (Index p = 0; p < panels.count; ++p, x += Panel) {
      for (int c = 0; c < Panel; ++c) x[c] = f(x[c]);
    }
  }
};

// The interface of φ that scan_attention calls: packed features of keys and queries, and the
// exponents of 2 that scale them; here the exponents are always 0.
template <class T, class F>
struct Elementwise {
  using R = Accum<T>;
  static constexpr bool weighted = false;

  const F& f;

  Index scratch(const ScanPlan& plan) const {
    return checked_product(ScanPlan::chunk, plan.features);
  }

  // panel [padded F, panel] = φ(x)ᵀ of at most a panel of rows.
  void keys(const ScanCall<T>& plan, const View<const T, 2>& x, R* panel, R*, R*) const {
    const Index size = plan.features * plan.tile_shape.nr;
    plan.kernels.of_tensors.pack_b_transposed(
        x, {panel, plan.features, plan.tile_shape.nr, plan.tile_shape});
    map(plan, panel, plan.features);
    std::fill(panel + size, panel + plan.padded() * plan.tile_shape.nr, R(0));
  }

  // ScoreTiles [rows, F] = φ(x) of at most a chunk of rows.
  void queries(const ScanCall<T>& plan, const View<const T, 2>& x, R* data, R*, R* rows) const {
    const Index count = x.extent[0], size = plan.features, nr = plan.tile_shape.nr;
    plan.kernels.copy_rows(x, R(1), rows);
    const auto tiles = simd::ScoreTiles<R>::of(plan.tile_shape, data, nullptr, count, size);
    const Index padded = Index{tiles.m_tiles} * plan.tile_shape.mr;
    for (Index r = 0; r < padded; ++r) {
      for (Index p = 0; p < tiles.panels; ++p) {
        R* to = tiles.row(r, p);
        const Index real = r < count ? std::min(nr, size - p * nr) : 0;
        std::copy_n(rows + r * size + p * nr, real, to);
        std::fill(to + real, to + nr, R(0));
      }
    }
    map(plan, data, padded * tiles.panels);
  }

 private:
  void map(const ScanCall<T>& plan, R* x, Index panels) const {
    plan.template compiled<MapNumbers<R, F>, R*, Panels>()(MapNumbers<R, F>{f}, x, Panels{panels});
  }
};

}  // namespace HEED_ABI
}  // namespace heed::approx
