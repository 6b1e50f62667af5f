// Matrices in every layout a view can have, in guarded memory that is NaN between the elements.
#pragma once

#include "heed/core/view.hpp"
#include "simd/guarded.hpp"
#include "simd/numbers.hpp"
#include "support/layout.hpp"

namespace heed::test {

template <class T>
class Strided {
 public:
  Strided(Index rows, Index columns, Layout layout, Side side, Index shift = 0)
      : strides_(strides_of(layout, rows, columns)),
        memory_(std::abs(strides_.row) * (rows - 1) + std::abs(strides_.column) * (columns - 1) + 1,
                side, std::numeric_limits<T>::quiet_NaN(), shift) {
    T* first = memory_.data();
    if (strides_.row < 0) first -= strides_.row * (rows - 1);
    if (strides_.column < 0) first -= strides_.column * (columns - 1);
    view_ = {first, {rows, columns}, {strides_.row, strides_.column}};
  }

  Strided& fill(std::uint64_t seed) {
    Numbers numbers(seed);
    for (Index r = 0; r < view_.extent[0]; ++r) {
      for (Index c = 0; c < view_.extent[1]; ++c) {
        view_(r, c) = static_cast<T>(static_cast<float>(numbers.next()));
      }
    }
    return *this;
  }

  const View<T, 2>& view() const { return view_; }
  View<const T, 2> cview() const { return view_.as_const(); }

  // The count of numbers in memory that are not NaN.
  Index written() const {
    return std::count_if(memory_.begin(), memory_.end(),
                         [](T x) { return !is_nan(static_cast<double>(x)); });
  }

 private:
  Strides strides_;
  Guarded<T> memory_;
  View<T, 2> view_{};
};

}  // namespace heed::test
