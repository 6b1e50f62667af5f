// The keys' side of sums over prefixes: a chunk of keys, packed, and the sums that it goes into.
#pragma once

#include <algorithm>
#include <limits>

#include "heed/approx/linear/scan_plan.hpp"
#include "heed/core/elementary.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// The exponent of what no key has gone into.
template <class R>
constexpr R no_exponent = std::numeric_limits<R>::lowest();

// 2^x for whole x ≤ 0; next to nothing where that is below what R can hold.
template <class R>
[[gnu::always_inline]] constexpr R whole_power_of_2(R x) {
  using E = Exp2<R>;
  constexpr R lowest = E::lowest + 1;
  x = select(x > lowest, x, lowest);
  const auto whole = static_cast<std::int32_t>(select(x < R(0), x, R(0)));
  return __builtin_bit_cast(R, static_cast<BitsOf<R>>(whole + E::bias) << E::mantissa);
}

// The same state under another exponent, not smaller.
template <class R>
void rescale(const ScanPlan& plan, KvState<R>& state, R exponent) {
  if (exponent == state.exponent) return;
  const R factor = whole_power_of_2(state.exponent - exponent);
  const Index size = plan.state();
  for (Index n = 0; n < size; ++n) state.sum[n] *= factor;
  state.exponent = exponent;
}

// to += from.
template <class R>
void merge_into(const ScanPlan& plan, KvState<R>& to, const KvState<R>& from) {
  const R top = std::max(to.exponent, from.exponent);
  rescale(plan, to, top);
  const R factor = whole_power_of_2(from.exponent - top);
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
    for (int c = 0; c < Panel; ++c) factor[c] = whole_power_of_2(exponents[c] - top);
    for (Index d = 0; d < features; ++d, panel += Panel) {
      for (int c = 0; c < Panel; ++c) panel[c] *= factor[c];
    }
  }
};

// The keys of one head, a chunk at a time.
template <class T, class Map>
class ScanKeys {
 public:
  using R = Accum<T>;

  // `scratch` has been cleared.
  ScanKeys(const ScanCall<T>& plan, const Map& map, const View<const T, 2>& k,
           const View<const T, 2>& v, const ScanScratch<R>& scratch)
      : plan_(plan), map_(map), k_(k), v_(v), scratch_(scratch) {}

  // The packed chunk becomes keys [begin, end), at most `chunk` of them.
  void load(Index begin, Index end) {
    begin_ = begin;
    end_ = end;
    std::fill_n(scratch_.key_exponents, ScanPlan::chunk, no_exponent<R>);
    const Index panel = plan_.tile_shape.nr;
    finite_ = true;
    for (Index p = 0; p < panels(); ++p) {
      const Index first = begin + p * panel;
      map_.keys(plan_, slice(k_, first, std::min(panel, end - first)), features(p).data,
                scratch_.key_exponents + p * panel, scratch_.map);
      finite_ &= pack_b(p);
    }
  }

  bool holds(Index begin, Index end) const { return begin == begin_ && end == end_; }
  Index begin() const { return begin_; }
  Index panels() const { return plan_.tile_shape.panels(end_ - begin_); }
  bool finite() const { return finite_; }  // whether all values of the chunk are

  // Features of panel p of the chunk: a panel of a PackedB [padded F, chunk].
  simd::PackedB<R> features(Index p) const {
    const simd::PackedB<R> all{scratch_.keys, plan_.padded(), ScanPlan::chunk, plan_.tile_shape};
    return all.only_panel(p);
  }
  // Values of panel p, each with a 1 behind it.
  simd::PackedB<R> values(Index p) const {
    const Index size = simd::PackedB<R>::size(plan_.tile_shape, plan_.tile_shape.nr, plan_.columns);
    return {scratch_.values + p * size, plan_.tile_shape.nr, plan_.columns, plan_.tile_shape};
  }
  // Keys of panel p.
  Index count(Index p) const {
    return std::min<Index>(plan_.tile_shape.nr, end_ - begin_ - p * plan_.tile_shape.nr);
  }

  // state += Σ φ(k) [v, 1] of the chunk. Its packed keys are of no other use afterwards.
  void absorb_into(KvState<R>& state) {
    if constexpr (Map::weighted) raise_to_chunk(state);
    for (Index p = 0; p < panels(); ++p) {
      const auto keys = simd::ScoreTiles<R>::of(plan_.tile_shape, features(p).data,
                                                scratch_.coverage, plan_.features, count(p));
      plan_.kernels.of_sums.gemm.pv(keys, values(p), plan_.accumulator(state.sum));
    }
    end_ = begin_;
  }

 private:
  // Packs the values of panel p. Returns whether they are finite. Whole panels of columns are
  // packed from the tensor, the last one and the 1 from a copy.
  bool pack_b(Index p) {
    const Index panel = plan_.tile_shape.nr;
    const Index last = plan_.tile_shape.panel_of(v_.extent[1]), whole = last * panel;
    const simd::PackedB<R> to = values(p);
    View<const T, 2> v = slice(v_, begin_ + p * panel, count(p));
    v.extent[1] = whole;
    const bool finite = plan_.kernels.of_tensors.pack_b(v, to);
    const Index rest = v_.extent[1] - whole;
    v.data += whole * v.stride[1];
    v.extent[1] = rest;
    for (Index c = 0; c < count(p); ++c) {
      R* row = scratch_.value_rows + c * (rest + 1);
      plan_.kernels.copy_rows(slice(v, c, 1), R(1), row);
      row[rest] = 1;
    }
    return plan_.kernels.of_sums.pack_b({scratch_.value_rows, {count(p), rest + 1}, {rest + 1, 1}},
                                        to.from_panel(last)) &&
           finite;
  }

  // Brings the state and the chunk to the larger of their exponents. NaN is not larger.
  void raise_to_chunk(KvState<R>& state) {
    R top = state.exponent;
    for (Index j = 0; j < end_ - begin_; ++j) {
      if (scratch_.key_exponents[j] > top) top = scratch_.key_exponents[j];
    }
    rescale(plan_, state, top);
    const auto scale = plan_.template compiled<ScaleColumns<R>, R*, Index>();
    for (Index p = 0; p < panels(); ++p) {
      scale({scratch_.key_exponents + p * plan_.tile_shape.nr, top}, features(p).data,
            plan_.features);
    }
  }

  const ScanCall<T>& plan_;
  const Map& map_;
  View<const T, 2> k_, v_;
  ScanScratch<R> scratch_;
  Index begin_ = 0, end_ = 0;
  bool finite_ = true;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
