// Keys and values as dense tensors: each head is one run.
#pragma once

#include "heed/kv/source.hpp"

namespace heed::kv {

template <class T>
struct BoundDense {
  View<const T, 2> k;  // [Lk, D]
  View<const T, 2> v;  // [Lk, Dv]

  template <class F>
  void for_each_run(Index begin, Index end, F&& f) const {
    f(begin, slice(k, begin, end - begin), slice(v, begin, end - begin));
  }
};

template <class T>
struct Dense {
  using Scalar = T;

  View<const T, 4> k;  // [B, Hkv, Lk, D]
  View<const T, 4> v;  // [B, Hkv, Lk, Dv]

  Extents extents() const { return {k.extent[0], k.extent[1], k.extent[3], v.extent[3]}; }
  Index length(Index) const { return k.extent[2]; }
  BoundDense<T> bind(const Shape&, Index b, Index kv_head) const {
    return {k.matrix(b, kv_head), v.matrix(b, kv_head)};
  }
};

static_assert(Source<Dense<float>, float> && HasExtents<Dense<float>>);

}  // namespace heed::kv
