// A mask given as a tensor: a nonzero element attends. Any arithmetic or half type, any strides.
#pragma once

#include <type_traits>

#include "heed/core/broadcast.hpp"
#include "heed/mask/mask.hpp"

namespace heed::mask {

using heed::axes;
using heed::missing;

inline namespace HEED_ABI {

template <class T>
struct BoundDense {
  View<const T, 2> nonzero;  // [Lq | 1, Lk | 1]
  int keys = all_keys;       // later keys, which the tensor does not have, are masked

  HEED_DEVICE bool allows(int i, int j) const { return j < keys && nonzero(i, j) != T(0); }

  // Exact. Reads lines along the dimension whose elements lie closer together, and what broadcasts
  // once.
  HEED_DEVICE Coverage coverage(Tile tile) const {
    if (tile.k_begin >= keys) return Coverage::Empty;
    const bool short_of_keys = tile.k_end > keys;
    const bool expected = !short_of_keys && allows(tile.q_begin, tile.k_begin);
    const Index q_stride = nonzero.stride[0], k_stride = nonzero.stride[1];
    const int rows = q_stride == 0 ? 1 : tile.q_end - tile.q_begin;
    const int columns = k_stride == 0 ? 1 : (short_of_keys ? keys : tile.k_end) - tile.k_begin;
    const T* first = &nonzero(tile.q_begin, tile.k_begin);
    const bool by_rows = rows == 1 || (columns > 1 && length(k_stride) <= length(q_stride));
    const bool same = by_rows ? all_are(expected, first, rows, q_stride, columns, k_stride)
                              : all_are(expected, first, columns, k_stride, rows, q_stride);
    if (!same) return Coverage::Partial;
    return expected ? Coverage::Full : Coverage::Empty;
  }

  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    if (tile.k_end > keys) return fill_beyond(tile, allowed, stride);
    if (tile.q_end - tile.q_begin > 1 && whole_tiles()) {
      return fill_columns(tile, allowed, stride);
    }
    fill_rows(tile, allowed, stride);
  }

  // Where the queries of a key lie closer together than the keys of a query.
  HEED_DEVICE constexpr bool whole_tiles() const {
    return length(nonzero.stride[1]) > length(nonzero.stride[0]) && nonzero.stride[0] != 0;
  }

 private:
  static constexpr int run = 16;  // elements that are looked at without a branch

  HEED_DEVICE static constexpr Index length(Index stride) { return stride < 0 ? -stride : stride; }

  // True where `lines` lines of `count` elements are all nonzero, or all zero.
  HEED_DEVICE static bool all_are(bool expected, const T* x, int lines, Index line_stride,
                                  int count, Index step) {
    for (int n = 0; n < lines; ++n, x += line_stride) {
      int c = 0;
      for (; step == 1 && count - c >= run; c += run) {
        if (run_differs(x + c, expected)) return false;
      }
      for (; c < count; ++c) {
        if ((x[c * step] != T(0)) != expected) return false;
      }
    }
    return true;
  }

  HEED_DEVICE static bool run_differs(const T* x, bool expected) {
    std::uint8_t differs = 0;
    for (int n = 0; n < run; ++n) {
      differs = static_cast<std::uint8_t>(differs | ((x[n] != T(0)) != expected));
    }
    return differs != 0;
  }

  [[gnu::always_inline]] void fill_rows(Tile tile, std::uint8_t* allowed, Index stride) const {
    const int count = tile.k_end - tile.k_begin;
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      const T* row = &nonzero(i, tile.k_begin);
      if (nonzero.stride[1] == 1) {
        for (int c = 0; c < count; ++c) allowed[c] = row[c] != T(0);
      } else {
        for (int c = 0; c < count; ++c) allowed[c] = row[c * nonzero.stride[1]] != T(0);
      }
    }
  }
  // Reads a column of the tile after the other.
  [[gnu::always_inline]] void fill_columns(Tile tile, std::uint8_t* allowed, Index stride) const {
    const int rows = tile.q_end - tile.q_begin;
    for (int j = tile.k_begin; j < tile.k_end; ++j, ++allowed) {
      const T* column = &nonzero(tile.q_begin, j);
      for (int r = 0; r < rows; ++r) {
        allowed[r * stride] = column[r * nonzero.stride[0]] != T(0);
      }
    }
  }
  void fill_beyond(Tile tile, std::uint8_t* allowed, Index stride) const {
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      for (int j = tile.k_begin; j < tile.k_end; ++j) allowed[j - tile.k_begin] = allows(i, j);
    }
  }
};

}  // namespace HEED_ABI

template <class T>
struct Dense {
  Broadcast<T> tensor;

  HEED_DEVICE BoundDense<T> bind(const Shape& shape, Index b, Index h) const {
    return {tensor.at(b, h), tensor.keys_of(shape)};
  }
  template <class Arena>
  Dense to_device(Arena& arena) const {
    return {tensor.to_device(arena)};
  }
  void check(const Shape& shape) const { tensor.check("heed::mask::dense", shape); }
};

inline namespace HEED_ABI {

// [Lq, Lk], [B, H, Lq, Lk], or what `meaning` says (core/broadcast.hpp); extents of 1 broadcast.
// With missing::masked the tensor may have fewer keys than the call; nobody sees the others.
// Refers to the tensor: it must outlive the mask, and a temporary one is a compile error. Throws
// heed::Error where rank and axes disagree.
template <TensorLike X>
Dense<ScalarOf<X>> dense(X&& tensor, axes meaning = axes::by_rank,
                         missing rest = missing::refused) {
  static_assert(LastingTensor<X>,
                "heed::mask::dense: refers to the tensor, and this one is gone when the expression "
                "ends: give it a name");
  return {broadcast("heed::mask::dense", tensor, meaning, rest)};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
