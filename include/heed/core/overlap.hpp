// Do two views share memory? Decided by address ranges, and, for interleaved slices of one buffer
// (the q, k and v of a fused projection, say), by the residues they occupy.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "heed/core/types.hpp"
#include "heed/core/view.hpp"

namespace heed {

// Memory of a view of any type and rank, which it refers to: overlap is compiled once for all.
struct ViewMemory {
  const void* data;
  Index element;  // bytes
  int rank;
  const Index *extent, *stride;  // [rank]

  template <class T, int Rank>
  ViewMemory(const View<T, Rank>& x)  // NOLINT(google-explicit-constructor)
      : data(x.data),
        element(static_cast<Index>(sizeof(T))),
        rank(Rank),
        extent(x.extent),
        stride(x.stride) {}

  bool empty() const {
    for (int d = 0; d < rank; ++d) {
      if (extent[d] == 0) return true;
    }
    return false;
  }
};

// Bytes [begin, end) that a view touches, widest over all its elements.
struct ByteRange {
  std::intptr_t begin, end;
};

inline namespace HEED_ABI {

// Bytes of the elements reached through the dimensions whose stride is not a multiple of `period`
// bytes; period 0 takes every dimension.
inline ByteRange byte_range(const ViewMemory& x, Index period = 0) {
  auto begin = reinterpret_cast<std::intptr_t>(x.data);
  std::intptr_t end = begin + x.element;
  for (int d = 0; d < x.rank; ++d) {
    if (x.extent[d] <= 1) continue;  // its stride may be anything
    const Index step = x.stride[d] * x.element;
    if (period != 0 && step % period == 0) continue;
    const Index reach = (x.extent[d] - 1) * step;
    (reach < 0 ? begin : end) += reach;
  }
  return {begin, end};
}

// True where a and b stay in disjoint residues modulo `period` bytes: every dimension either steps
// by whole periods or remains inside its part of one.
inline bool disjoint_modulo(const ViewMemory& a, const ViewMemory& b, Index period) {
  const ByteRange in_a = byte_range(a, period);
  const ByteRange in_b = byte_range(b, period);
  const auto size_a = in_a.end - in_a.begin;
  const auto size_b = in_b.end - in_b.begin;
  const Index between = ((in_b.begin - in_a.begin) % period + period) % period;
  return between >= size_a && size_b <= period - between;
}

// True where a stride of `by` is a period that separates a and b.
[[gnu::noinline]] inline bool separated_by(const ViewMemory& by, const ViewMemory& a,
                                           const ViewMemory& b) {
  const Index farthest = (Index{1} << 60) / by.element;  // no two addresses are that far apart
  for (int d = 0; d < by.rank; ++d) {
    const Index stride = by.stride[d];
    if (stride == 0 || stride > farthest || stride < -farthest) continue;
    if (disjoint_modulo(a, b, std::abs(stride) * by.element)) return true;
  }
  return false;
}

// True where a write to `out` could change `in`. Never false for views that share an element.
[[gnu::noinline]] inline bool may_overlap(const ViewMemory& out, const ViewMemory& in) {
  if (out.empty() || in.empty()) return false;
  const ByteRange a = byte_range(out);
  const ByteRange b = byte_range(in);
  if (a.end <= b.begin || b.end <= a.begin) return false;
  return !separated_by(out, out, in) && !separated_by(in, out, in);
}

// True where two indices of a view may name one element. False where every stride steps over all
// that the smaller ones reach, as in any slice of packed memory; never false where two do.
template <class T, int Rank>
bool repeats_elements(const View<T, Rank>& x) {
  if (x.empty()) return false;
  Extents<Rank> stride = {}, reach = {};
  int count = 0;
  for (int d = 0; d < Rank; ++d) {
    if (x.extent[d] == 1) continue;
    const Index step = std::abs(x.stride[d]);
    int at = count++;  // sorted by stride
    for (; at > 0 && stride[at - 1] > step; --at) {
      stride[at] = stride[at - 1];
      reach[at] = reach[at - 1];
    }
    stride[at] = step;
    reach[at] = checked_product(step, x.extent[d] - 1);
  }
  Index reached = 0;
  for (int n = 0; n < count; ++n) {
    if (stride[n] <= reached) return true;
    reached = checked_sum(reached, reach[n]);
  }
  return false;
}

}  // namespace HEED_ABI
}  // namespace heed
