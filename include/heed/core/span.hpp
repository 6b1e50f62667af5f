// Span: read-only memory of somebody else, in a type that a kernel can use as the host does.
// std::span would do, but for nvcc its members are host functions (core/device.hpp).
#pragma once

#include <cstddef>
#include <span>

#include "heed/core/device.hpp"
#include "heed/core/types.hpp"

namespace heed {

template <class T>
struct Span {
  const T* items = nullptr;
  Index count = 0;

  constexpr Span() = default;
  constexpr Span(const T* first, Index size) : items(first), count(size) {}
  constexpr Span(std::span<const T> span)
      : items(span.data()), count(static_cast<Index>(span.size())) {}

  HEED_DEVICE constexpr const T& operator[](Index n) const { return items[n]; }
  HEED_DEVICE constexpr Index size() const { return count; }
  HEED_DEVICE constexpr const T* data() const { return items; }
  HEED_DEVICE constexpr const T* begin() const { return items; }
  HEED_DEVICE constexpr const T* end() const { return items + count; }
};

}  // namespace heed
