// One checked call: what every backend computes from.
#pragma once

#include <cmath>
#include <span>

#include "heed/attention/options.hpp"
#include "heed/core/shape.hpp"
#include "heed/core/types.hpp"
#include "heed/core/view.hpp"

namespace heed {

template <class T>
struct Problem {
  View<const T, 4> q;     // [B, Hq,  Lq, D]
  View<const T, 4> k;     // [B, Hkv, Lk, D]
  View<const T, 4> v;     // [B, Hkv, Lk, Dv]
  View<T, 4> out;         // [B, Hq,  Lq, Dv]
  View<Accum<T>, 3> lse;  // [B, Hq,  Lq], natural log; no data: not wanted
  View<T, 4> weights;     // [B, Hq,  Lq, Lk], zeros; no data: not wanted
  Shape shape;
  double scale;
  Dropout dropout;
  View<Accum<T>, 4> unrounded_out{};  // as out, and in its place where there is data
  HeadNumbers<false> sinks{};         // [Hq]; empty: none
};

inline namespace HEED_ABI {

inline double scale_of(const Options& options, const Shape& shape) {
  return options.scale ? *options.scale : 1 / std::sqrt(static_cast<double>(shape.D));
}

// The sink of query head h; −inf where there is none.
template <class R, class T>
R sink_of(const Problem<T>& problem, Index h) {
  return problem.sinks.empty() ? mask_if(true, R(0)) : static_cast<R>(problem.sinks.at(h));
}

// The weight of a sink in a row, 0 where there is none.
template <class R>
R sink_weight(R sink, R lse) {
  return is_masked(sink) ? R(0) : std::exp(sink - lse);
}

}  // namespace HEED_ABI
}  // namespace heed
