// The keys' side of sums over prefixes: a chunk of keys, packed, and the sums that it goes into.
#pragma once

#include <algorithm>
#include <limits>

#include "heed/approx/prefix_plan.hpp"
#include "heed/attention/flash_task.hpp"
#include "heed/core/elementary.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// 2^x for x ≤ 0; next to nothing where that is below what R can hold.
template <class R>
[[gnu::always_inline]] constexpr R power_of_2(R x) {
  constexpr R lowest = Exp2<R>::lowest + 1;
  x = select(x > lowest, x, lowest);
  return exp2_of_negative(select(x < R(0), x, R(0)));
}

// The same state under another exponent, not smaller.
template <class R>
void rescale(const PrefixPlan& plan, PrefixState<R>& state, R exponent) {
  if (exponent == state.exponent) return;
  const R factor = power_of_2(state.exponent - exponent);
  const Index size = plan.state();
  for (Index n = 0; n < size; ++n) state.sum[n] *= factor;
  state.exponent = exponent;
}

// to += from.
template <class R>
void merge_into(const PrefixPlan& plan, PrefixState<R>& to, const PrefixState<R>& from) {
  const R top = std::max(to.exponent, from.exponent);
  rescale(plan, to, top);
  const R factor = from.exponent == top ? R(1) : power_of_2(from.exponent - top);
  const Index size = plan.state();
  for (Index n = 0; n < size; ++n) to.sum[n] += factor * from.sum[n];
}

// Column c of a panel of features is multiplied by 2^(exponents[c] − top).
template <class R>
struct ScaleColumns {
  const R* exponents;
  R top;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* panel, const Index& features) const {
    simd::Array<R, Panel> factor;
    for (int c = 0; c < Panel; ++c) factor[c] = power_of_2(exponents[c] - top);
    for (Index d = 0; d < features; ++d, panel += Panel) {
      for (int c = 0; c < Panel; ++c) panel[c] *= factor[c];
    }
  }
};

// The keys of one head, a chunk at a time.
template <class T, class Map>
class PrefixKeys {
 public:
  using R = Accum<T>;

  // `scratch` has been cleared.
  PrefixKeys(const PrefixPlan& plan, const Map& map, const View<const T, 2>& k,
             const View<const T, 2>& v, const PrefixScratch<R>& scratch)
      : plan_(plan), map_(map), k_(k), v_(v), scratch_(scratch) {}

  // The packed chunk becomes keys [begin, end), at most `chunk` of them.
  void load(Index begin, Index end) {
    const Index panel = plan_.cell.panel;
    begin_ = begin;
    end_ = end;
    const Index count = end - begin, features = plan_.features;
    std::fill_n(scratch_.key_exponents, PrefixPlan::chunk, std::numeric_limits<R>::lowest());
    map_(plan_, slice(k_, begin, count), scratch_.key_rows, scratch_.key_exponents, scratch_.map,
         true);
    kernels().pack_keys({scratch_.key_rows, {count, features}, {features, 1}},
                        static_cast<int>(count), scratch_.keys);
    std::fill_n(scratch_.keys + plan_.cell.panels(count) * features * panel,
                plan_.cell.rows * panel, R(0));
    finite_ = true;
    for (Index p = 0; p * panel < count; ++p) finite_ &= pack_values(p);
  }

  bool holds(Index begin, Index end) const { return begin == begin_ && end == end_; }
  Index begin() const { return begin_; }
  Index panels() const { return plan_.cell.panels(end_ - begin_); }
  bool finite() const { return finite_; }  // whether all values of the chunk are

  // Panel p of the chunk as the keys and values of a strip.
  simd::Strip<R> strip(Index p) const {
    const Index panel = plan_.cell.panel;
    simd::Strip<R> strip;
    strip.panels = 1;
    strip.keys = static_cast<int>(std::min(panel, end_ - begin_ - p * panel));
    strip.D = plan_.features;
    strip.columns = plan_.columns;
    strip.capacity = panel;
    strip.kt = scratch_.keys + p * plan_.features * panel;
    strip.v = scratch_.values + p * plan_.columns * panel;
    return strip;
  }

  // state += Σ φ(k) [v, 1] of the chunk. Its packed keys are of no other use afterwards.
  void absorb_into(PrefixState<R>& state) {
    if constexpr (Map::weighted) raise_to_chunk(state);
    for (Index p = 0; p < panels(); ++p) {
      simd::Strip<R> strip = this->strip(p);
      strip.groups = static_cast<int>(plan_.cell.groups(plan_.features));
      strip.live = scratch_.live;
      strip.scores = const_cast<R*>(strip.kt);
      strip.acc = state.sum;
      kernels().accumulate(strip);
    }
    end_ = begin_;
  }

 private:
  static const simd::Kernels<R>& kernels() { return simd::kernels<R>(isa()); }

  // Values of panel p, each with a 1 behind it. Returns whether they are finite.
  bool pack_values(Index p) {
    const Index panel = plan_.cell.panel, Dv = v_.extent[1];
    const Index first = begin_ + p * panel;
    const Index count = std::min(panel, end_ - first);
    for (Index c = 0; c < count; ++c) {
      R* row = scratch_.value_rows + c * (Dv + 1);
      simd::kernels<T>(isa()).load_rows(slice(v_, first + c, 1), 1, R(1), row);
      row[Dv] = 1;
    }
    return kernels().pack_values({scratch_.value_rows, {count, Dv + 1}, {Dv + 1, 1}},
                                 static_cast<int>(count), panel,
                                 scratch_.values + p * plan_.columns * panel);
  }

  // Brings the state and the chunk to the larger of their exponents. NaN is not larger.
  void raise_to_chunk(PrefixState<R>& state) {
    R top = state.exponent;
    for (Index j = 0; j < end_ - begin_; ++j) {
      if (scratch_.key_exponents[j] > top) top = scratch_.key_exponents[j];
    }
    rescale(plan_, state, top);
    const Index panel = plan_.cell.panel;
    for (Index p = 0; p < panels(); ++p) {
      const ScaleColumns<R> scale{scratch_.key_exponents + p * panel, top};
      simd::rewriter<R, ScaleColumns<R>, Index>(isa())(
          scale, scratch_.keys + p * plan_.features * panel, plan_.features);
    }
  }

  const PrefixPlan& plan_;
  const Map& map_;
  View<const T, 2> k_, v_;
  PrefixScratch<R> scratch_;
  Index begin_ = 0, end_ = 0;
  bool finite_ = true;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
