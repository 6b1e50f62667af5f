// Span: read-only memory of somebody else, in a type that a kernel can use as the host does.
// std::span would do, but for nvcc its members are host functions (core/device.hpp).
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

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

// A range whose elements stay when the expression ends: no temporary container.
template <class Range>
concept Borrowed = std::is_lvalue_reference_v<Range> ||
    std::ranges::enable_borrowed_range<std::remove_cvref_t<Range>>;

// The span that a mask or a score keeps of an argument; temporaries that own memory are refused.
template <class T>
struct BorrowedSpan : Span<T> {
  template <Borrowed Range>
  requires std::constructible_from<std::span<const T>, Range>
  // NOLINTNEXTLINE(google-explicit-constructor, bugprone-forwarding-reference-overload)
  constexpr BorrowedSpan(Range&& range) : Span<T>(std::span<const T>(range)) {}
};

}  // namespace heed
