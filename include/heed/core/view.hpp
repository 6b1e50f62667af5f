// A view: pointer, extents and strides of somebody else's memory. Every tensor becomes one.
//
// Strides are in elements and may be anything (gaps, transposed, reversed, 0 for broadcast inputs).
// Attention works on rank 4, [B, H, L, D]; rank 3 is [B, L, D] (one head) and rank 2 is [L, D].
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

#include "heed/core/error.hpp"
#include "heed/core/types.hpp"

namespace heed {

template <int Rank>
using Extents = Index[static_cast<std::size_t>(Rank)];

template <class T, int Rank>
struct View {
  using Scalar = std::remove_const_t<T>;
  static constexpr int rank = Rank;

  T* data;
  Extents<Rank> extent;
  Extents<Rank> stride;

  template <class... I>
  requires(sizeof...(I) == Rank) HEED_DEVICE constexpr T& operator()(I... index) const {
    return data[offset(index...)];
  }

  // In elements from `data`; fewer indices than dimensions count the missing ones as 0.
  template <class... I>
  HEED_DEVICE constexpr Index offset(I... index) const {
    Index sum = 0;
    int d = 0;
    ((sum += static_cast<Index>(index) * stride[d++]), ...);
    return sum;
  }

  HEED_DEVICE constexpr bool empty() const {
    for (int d = 0; d < Rank; ++d) {
      if (extent[d] == 0) return true;
    }
    return false;
  }

  constexpr View<const T, Rank> as_const() const {
    View<const T, Rank> view{data, {}, {}};
    for (int d = 0; d < Rank; ++d) {
      view.extent[d] = extent[d];
      view.stride[d] = stride[d];
    }
    return view;
  }

  // The matrix behind the last two dimensions at the given leading indices.
  template <class... I>
  requires(sizeof...(I) == Rank - 2) HEED_DEVICE constexpr View<T, 2> matrix(I... index) const {
    return {data == nullptr ? nullptr : data + offset(index...),
            {extent[Rank - 2], extent[Rank - 1]},
            {stride[Rank - 2], stride[Rank - 1]}};
  }
};

// An extent in a list of several integer types, which would be narrowed otherwise.
struct AnyInteger {
  Index value;

  template <class N>
  requires std::integral<N> || std::is_enum_v<N>
  // NOLINTNEXTLINE(google-explicit-constructor)
  constexpr AnyInteger(N n) : value(static_cast<Index>(n)) {}
};

inline namespace HEED_ABI {

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_product(Index a, Index b) {
  refuse({"heed: a size of ", a, " times ", b, " does not fit 64 bits"});
}

// a · b, or heed::Error where the product of two sizes does not fit 64 bits.
inline Index checked_product(Index a, Index b) {
  Index product = 0;
  if (__builtin_mul_overflow(a, b, &product)) refuse_product(a, b);
  return product;
}

// a + b, or heed::Error where the sum of two sizes does not fit 64 bits.
inline Index checked_sum(Index a, Index b) {
  Index sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    refuse({"heed: a size of ", a, " plus ", b, " does not fit 64 bits"});
  }
  return sum;
}

// Rows [begin, begin + count) of a matrix.
template <class T>
View<T, 2> slice(const View<T, 2>& x, Index begin, Index count) {
  return {x.data == nullptr ? nullptr : x.data + begin * x.stride[0],
          {count, x.extent[1]},
          {x.stride[0], x.stride[1]}};
}

template <class T>
constexpr View<T, 2> transposed(const View<T, 2>& x) {
  return {x.data, {x.extent[1], x.extent[0]}, {x.stride[1], x.stride[0]}};
}

// A packed row-major matrix.
template <class T>
constexpr View<T, 2> matrix_of(T* data, Index rows, Index columns) {
  return {data, {rows, columns}, {columns, 1}};
}

// Number of elements; heed::Error where it, or its bytes, do not fit 64 bits.
template <class T, int Rank>
Index checked_size(const View<T, Rank>& view) {
  if (view.empty()) return 0;
  Index count = 1;
  for (int d = 0; d < Rank; ++d) count = checked_product(count, view.extent[d]);
  checked_product(count, static_cast<Index>(sizeof(T)));
  return count;
}

// "[2,8,128,64]", in an error.
template <class T, int Rank>
ErrorPart extents_of(const View<T, Rank>& view) {
  return {view.extent, Rank};
}
template <class T, int Rank>
std::string to_string(const View<T, Rank>& view) {
  return joined({extents_of(view)});
}

// A contiguous row-major view of memory: view(ptr, {B, H, L, D}), extents of any integer types.
template <class T, std::integral N, std::size_t Rank>
View<T, static_cast<int>(Rank)> view(T* data, const N (&extent)[Rank]) {
  View<T, static_cast<int>(Rank)> result{data, {}, {}};
  Index step = 1;
  for (int d = static_cast<int>(Rank) - 1; d >= 0; --d) {
    result.extent[d] = static_cast<Index>(extent[d]);
    result.stride[d] = step;
    step = checked_product(step, result.extent[d] > 1 ? result.extent[d] : 1);
  }
  return result;
}
template <class T, std::size_t Rank>
View<T, static_cast<int>(Rank)> view(T* data, const AnyInteger (&extent)[Rank]) {
  Index extents[Rank];
  for (std::size_t d = 0; d < Rank; ++d) extents[d] = extent[d].value;
  return view(data, extents);
}

// A strided view of memory: view(ptr, {B, H, L, D}, {strides in elements}).
template <class T, std::integral N, std::integral S, std::size_t Rank>
View<T, static_cast<int>(Rank)> view(T* data, const N (&extent)[Rank], const S (&stride)[Rank]) {
  View<T, static_cast<int>(Rank)> result{data, {}, {}};
  for (std::size_t d = 0; d < Rank; ++d) {
    result.extent[d] = static_cast<Index>(extent[d]);
    result.stride[d] = static_cast<Index>(stride[d]);
  }
  return result;
}
template <class T, std::size_t Rank>
View<T, static_cast<int>(Rank)> view(T* data, const AnyInteger (&extent)[Rank],
                                     const AnyInteger (&stride)[Rank]) {
  View<T, static_cast<int>(Rank)> result{data, {}, {}};
  for (std::size_t d = 0; d < Rank; ++d) {
    result.extent[d] = extent[d].value;
    result.stride[d] = stride[d].value;
  }
  return result;
}

// Rank 4 of any attention tensor: [B, L, D] is one head, [L, D] one head of one batch.
template <class T>
constexpr View<T, 4> lift(const View<T, 4>& x) {
  return x;
}
template <class T>
constexpr View<T, 4> lift(const View<T, 3>& x) {
  return {x.data,
          {x.extent[0], 1, x.extent[1], x.extent[2]},
          {x.stride[0], 0, x.stride[1], x.stride[2]}};
}
template <class T>
constexpr View<T, 4> lift(const View<T, 2>& x) {
  return {x.data, {1, 1, x.extent[0], x.extent[1]}, {0, 0, x.stride[0], x.stride[1]}};
}

template <class T, int Rank>
constexpr View<T, 4> lift(const View<T, Rank>& x) {
  static_assert(Rank == 0, "heed: tensors are [B, H, L, D], [B, L, D] or [L, D]");
  return {x.data, {}, {}};
}

// Rank 3, [B, H, L], of a per-row result.
template <class T>
constexpr View<T, 3> lift_rows(const View<T, 3>& x) {
  return x;
}
template <class T>
constexpr View<T, 3> lift_rows(const View<T, 2>& x) {
  return {x.data, {x.extent[0], 1, x.extent[1]}, {x.stride[0], 0, x.stride[1]}};
}
template <class T>
constexpr View<T, 3> lift_rows(const View<T, 1>& x) {
  return {x.data, {1, 1, x.extent[0]}, {0, 0, x.stride[0]}};
}

}  // namespace HEED_ABI
}  // namespace heed
