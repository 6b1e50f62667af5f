// A whole number for each batch entry, a length or an offset: the caller's memory in any integer
// type, or a list that the mask keeps.
#pragma once

#include <initializer_list>
#include <limits>
#include <memory>
#include <span>  // concepts of ranges
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "heed/core/error.hpp"
#include "heed/core/span.hpp"
#include "heed/core/tensor.hpp"
#include "heed/core/view.hpp"

namespace heed {

template <class T>
concept WholeNumber = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// Refers to the caller's memory.
template <WholeNumber T>
struct PerBatch {
  View<const T, 1> values;  // [B]

  HEED_DEVICE constexpr Index operator[](Index b) const { return static_cast<Index>(values(b)); }
  constexpr Index size() const { return values.extent[0]; }

  // True where least <= value b <= most; as text, value b.
  constexpr bool within(Index b, Index least, Index most) const {
    return std::in_range<Index>(+values(b)) && (*this)[b] >= least && (*this)[b] <= most;
  }
  std::string text(Index b) const { return std::to_string(values(b)); }

  template <class Arena>
  PerBatch to_device(Arena& arena) const {
    return {arena.copy(values)};
  }
};

// The numbers of a braced list, kept.
struct ListPerBatch {
  std::shared_ptr<const std::vector<Index>> values;

  Index operator[](Index b) const { return (*values)[static_cast<std::size_t>(b)]; }
  Index size() const { return static_cast<Index>(values->size()); }
  bool within(Index b, Index least, Index most) const {
    return (*this)[b] >= least && (*this)[b] <= most;
  }
  std::string text(Index b) const { return std::to_string((*this)[b]); }

  template <class Arena>
  PerBatch<Index> to_device(Arena& arena) const {
    const Span<Index> there = arena.copy(Span<Index>(values->data(), size()));
    return {{there.data(), {there.size()}, {1}}};
  }
};

// One number for all batch entries.
struct EveryBatch {
  Index value;

  HEED_DEVICE constexpr Index operator[](Index) const { return value; }
  constexpr bool within(Index, Index least, Index most) const {
    return value >= least && value <= most;
  }
  std::string text(Index) const { return std::to_string(value); }
  template <class Arena>
  EveryBatch to_device(Arena&) const {
    return *this;
  }
};

// A container whose elements are bool: lengths they are not.
template <class X>
concept HoldsBool = std::ranges::range<X> && std::is_same_v < std::ranges::range_value_t<X>,
bool > ;

inline namespace HEED_ABI {

// The numbers of a tensor of rank 1, or of one row or column.
template <class T, int Rank>
View<const T, 1> one_line(const char* what, const View<const T, Rank>& x) {
  static_assert(Rank <= 2, "heed: one number a batch entry: a tensor of rank 1, a row or a column");
  if constexpr (Rank == 1) {
    return x;
  } else {
    if (x.extent[0] != 1 && x.extent[1] != 1) {
      throw Error(std::string(what) + ": one number a batch entry is a row or a column, not " +
                  to_string(x));
    }
    const int along = x.extent[1] == 1 ? 0 : 1;
    return {x.data, {x.extent[along]}, {x.stride[along]}};
  }
}

// Refers to the numbers of a vector, array, span, Eigen vector or tensor of any integer type.
template <Borrowed X>
auto per_batch(const char* what, X&& x) {
  using Range = std::remove_cvref_t<X>;
  static_assert(!HoldsBool<Range>,
                "heed: lengths and offsets are whole numbers, one a batch entry, not bool; a mask "
                "with a bool for each key is heed::mask::dense(tensor, axes::keys)");
  if constexpr (HoldsBool<Range>) {
    return PerBatch<int>{};
  } else if constexpr (TensorLike<Range>) {
    using T = ScalarOf<Range>;
    static_assert(WholeNumber<T>, "heed: lengths and offsets are whole numbers, one a batch entry");
    return PerBatch<T>{one_line(what, view_of(x))};
  } else {
    static_assert(std::ranges::contiguous_range<Range> && std::ranges::sized_range<Range>,
                  "heed: lengths and offsets come in a vector, array, span or Eigen vector");
    using T = std::ranges::range_value_t<Range>;
    static_assert(WholeNumber<T>, "heed: lengths and offsets are whole numbers, one a batch entry");
    const auto size = static_cast<Index>(std::ranges::size(x));
    return PerBatch<T>{{std::ranges::data(x), {size}, {1}}};
  }
}

inline ListPerBatch per_batch(std::initializer_list<Index> list) {
  return {std::make_shared<const std::vector<Index>>(list)};
}

// Throws heed::Error "what: 3 lengths for a batch of 2".
template <class Numbers>
void require_batch(const char* what, const char* noun, const Numbers& numbers, Index B) {
  if constexpr (!std::is_same_v<Numbers, EveryBatch>) {
    if (numbers.size() == B) return;
    throw Error(std::string(what) + ": " + std::to_string(numbers.size()) + " " + noun +
                " for a batch of " + std::to_string(B));
  }
}

}  // namespace HEED_ABI

// The type that per_batch makes of X.
template <class X>
using PerBatchOf = decltype(per_batch("", std::declval<X>()));

}  // namespace heed
