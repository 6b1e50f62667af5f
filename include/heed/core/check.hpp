// The wrong calls of the contract, each a heed::Error that shows the shapes.
#pragma once

#include <limits>
#include <string>

#include "heed/core/error.hpp"
#include "heed/core/overlap.hpp"
#include "heed/core/shape.hpp"
#include "heed/core/view.hpp"

namespace heed {

inline constexpr Index max_length = std::numeric_limits<std::int32_t>::max();

inline namespace HEED_ABI {

// Throws heed::Error "call: problem (shapes)". Nothing is allocated unless it throws.
template <class Shapes>
void require(bool good, const char* call, const char* problem, const Shapes& shapes) {
  if (!good) refuse({call, ": ", problem, " (", shapes(), ")"});
}

// Throws heed::Error "call: k has dim 80 but q has dim 64 (shapes)".
template <class Shapes>
void require_equal(Index a, Index b, const char* what_a, const char* what_b, const char* call,
                   const Shapes& shapes) {
  if (a == b) return;
  refuse({call, ": ", what_a, " ", a, " but ", what_b, " ", b, " (", shapes(), ")"});
}

// Throws heed::Error where strides lead to an address that does not fit 64 bits.
template <class T, int Rank>
void check_reach(const View<T, Rank>& x) {
  if (x.empty()) return;
  Index begin = 0;
  auto end = static_cast<Index>(reinterpret_cast<std::intptr_t>(x.data));
  for (int d = 0; d < Rank; ++d) {
    if (x.extent[d] == 1) continue;
    const Index step = checked_product(x.stride[d], static_cast<Index>(sizeof(T)));
    const Index reach = checked_product(x.extent[d] - 1, step);
    Index& side = reach < 0 ? begin : end;
    side = checked_sum(side, reach);
  }
}

template <class T, int Rank>
void require_sane(const View<T, Rank>& x, const char* call, const char* name) {
  for (int d = 0; d < Rank; ++d) {
    if (x.extent[d] < 0 || x.extent[d] > max_length) {
      refuse({call, ": ", name, " has an extent outside 0 … 2^31 - 1 (", name, " ", extents_of(x),
              ")"});
    }
  }
  checked_size(x);
  check_reach(x);
  if (x.data == nullptr && !x.empty()) {
    refuse({call, ": ", name, " has no data (", name, " ", extents_of(x), ")"});
  }
}

// Throws heed::Error where two indices of a tensor that is written may name one element.
template <class T, int Rank>
void require_distinct(const View<T, Rank>& x, const char* call, const char* name) {
  if (!repeats_elements(x)) return;
  refuse({call, ": ", name, " repeats elements, or seems to (a stride of 0, or rows that overlap; ",
          name, " ", extents_of(x), ")"});
}

// The shape of a call from q [B, Hq, Lq, D], k [B, Hkv, Lk, D], v [B, Hkv, Lk, Dv] of any rank.
template <class T, class U, int Rank>
Shape check_operands(const char* call, const View<const T, Rank>& q, const View<const U, Rank>& k,
                     const View<const U, Rank>& v) {
  require_sane(q, call, "q");
  require_sane(k, call, "k");
  require_sane(v, call, "v");
  const auto shapes = [&] {
    return joined({"q ", extents_of(q), ", k ", extents_of(k), ", v ", extents_of(v)});
  };
  const auto q4 = lift(q);
  const auto k4 = lift(k);
  const auto v4 = lift(v);
  const Shape shape{q4.extent[0], q4.extent[1], k4.extent[1], q4.extent[2],
                    k4.extent[2], q4.extent[3], v4.extent[3], Rank};
  require_equal(k4.extent[3], shape.D, "k has dim", "q has dim", call, shapes);
  require_equal(k4.extent[0], shape.B, "k has batch", "q has batch", call, shapes);
  require_equal(v4.extent[0], shape.B, "v has batch", "q has batch", call, shapes);
  require_equal(v4.extent[1], shape.Hkv, "v has heads", "k has heads", call, shapes);
  require_equal(v4.extent[2], shape.Lk, "v has length", "k has length", call, shapes);
  require(shape.D > 0, call, "dim of q and k is 0", shapes);
  require(shape.Hq == 0 || (shape.Hkv != 0 && shape.Hq % shape.Hkv == 0), call,
          "the number of query heads is not a multiple of the number of key heads", shapes);
  return shape;
}

// out is [B, Hq, Lq, Dv] and shares no memory with an input.
template <class Out, class T, int Rank>
void check_output(const char* call, const View<Out, Rank>& out, const Shape& shape,
                  const View<const T, Rank>& q, const View<const T, Rank>& k,
                  const View<const T, Rank>& v) {
  require_sane(out, call, "out");
  const auto shapes = [&] {
    return joined({"out ", extents_of(out), ", q ", extents_of(q), ", k ", extents_of(k), ", v ",
                   extents_of(v)});
  };
  const auto out4 = lift(out);
  require(out4.extent[0] == shape.B && out4.extent[1] == shape.Hq && out4.extent[2] == shape.Lq &&
              out4.extent[3] == shape.Dv,
          call, "out must be [B, Hq, Lq, Dv]", shapes);
  require_distinct(out, call, "out");
  require(!may_overlap(out, q), call, "out overlaps q", shapes);
  require(!may_overlap(out, k), call, "out overlaps k", shapes);
  require(!may_overlap(out, v), call, "out overlaps v", shapes);
}

inline void check_scale(const char* call, double scale) {
  if (!is_finite(scale)) refuse({call, ": scale is not finite"});
}

}  // namespace HEED_ABI
}  // namespace heed
