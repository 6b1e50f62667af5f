// A mask given as a tensor: a nonzero element attends. Any arithmetic or half type, any strides.
#pragma once

#include <type_traits>

#include "heed/core/broadcast.hpp"
#include "heed/mask/mask.hpp"

namespace heed::mask {

using heed::axes;

template <class T>
struct BoundDense {
  View<const T, 2> nonzero;  // [Lq | 1, Lk | 1]

  HEED_DEVICE bool allows(int i, int j) const { return nonzero(i, j) != T(0); }

  HEED_DEVICE Coverage coverage(Tile tile) const {
    const bool first = allows(tile.q_begin, tile.k_begin);
    for (int i = tile.q_begin; i < tile.q_end; ++i) {
      int j = tile.k_begin;
      for (; nonzero.stride[1] == 1 && j + run <= tile.k_end; j += run) {
        if (run_differs(&nonzero(i, j), first)) return Coverage::Partial;
      }
      for (; j < tile.k_end; ++j) {
        if (allows(i, j) != first) return Coverage::Partial;
      }
    }
    return first ? Coverage::Full : Coverage::Empty;
  }

  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    const int keys = tile.k_end - tile.k_begin;
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      const T* row = &nonzero(i, tile.k_begin);
      if (nonzero.stride[1] == 1) {
        for (int c = 0; c < keys; ++c) allowed[c] = row[c] != T(0);
      } else {
        for (int c = 0; c < keys; ++c) allowed[c] = row[c * nonzero.stride[1]] != T(0);
      }
    }
  }

 private:
  static constexpr int run = 16;  // keys that are looked at without a branch

  HEED_DEVICE static bool run_differs(const T* x, bool expected) {
    std::uint8_t differs = 0;
    for (int n = 0; n < run; ++n) {
      differs = static_cast<std::uint8_t>(differs | ((x[n] != T(0)) != expected));
    }
    return differs != 0;
  }
};

template <class T>
struct Dense {
  Broadcast<T> tensor;

  HEED_DEVICE BoundDense<T> bind(const Shape&, Index b, Index h) const { return {tensor.at(b, h)}; }
  template <class Arena>
  Dense to_device(Arena& arena) const {
    return {{arena.copy(tensor.view), tensor.rank, tensor.meaning}};
  }
  void check(const Shape& shape) const { tensor.check("heed::mask::dense", shape); }
};

inline namespace HEED_ABI {

// [Lq, Lk], [B, H, Lq, Lk], or what `meaning` says (core/broadcast.hpp); extents of 1 broadcast.
// Refers to the tensor: it must outlive the mask, and a temporary one is a compile error. Throws
// heed::Error where rank and axes disagree.
template <TensorLike X>
Dense<ScalarOf<X>> dense(X&& tensor, axes meaning = axes::by_rank) {
  static_assert(LastingTensor<X>,
                "heed::mask::dense: refers to the tensor, and this one is gone when the expression "
                "ends: give it "
                "a name");
  return {broadcast("heed::mask::dense", tensor, meaning)};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
