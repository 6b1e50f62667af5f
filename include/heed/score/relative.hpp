// A learned number for each distance, added to the score; distances beyond the table share the
// number at its end. Each head has a row of the table, or all share one.
//
// Shaw, Uszkoreit, Vaswani, "Self-Attention with Relative Position Representations" (2018), section
// 3.2, for clip(j − i, −k, k); as a bias: Raffel et al., T5 (2020), section 2.1.
#pragma once

#include <algorithm>
#include <string>

#include "heed/core/check.hpp"
#include "heed/core/tensor.hpp"
#include "heed/score/bias.hpp"
#include "heed/score/score.hpp"

namespace heed::score {

inline namespace HEED_ABI {

template <class T>
struct BoundRelative {
  static constexpr bool unit_derivative = true;

  const T* middle;  // the number of distance 0
  Index stride;
  int most;    // distances −most … most have a number of their own
  int offset;  // Lk − Lq: both sequences end together

  template <class R>
  HEED_DEVICE R value(R s, int i, int j) const {
    const int distance = j - i - offset;
    return biased(s, at(distance < -most ? -most : distance > most ? most : distance));
  }

  // Most rows lie on one side of the table or within it: nothing is gathered.
  template <class R>
  [[gnu::always_inline]] void modify(R* s, int i, int j, int keys) const {
    const int first = j - i - offset;
    const int last = first + (keys - 1);
    if (first >= most || last <= -most) {
      const T same = at(first >= most ? most : -most);
      for (int c = 0; c < keys; ++c) s[c] = biased(s[c], same);
    } else if (first >= -most && last <= most && stride == 1) {
      const T* row = middle + first;
      for (int c = 0; c < keys; ++c) s[c] = biased(s[c], row[c]);
    } else {
      for (int c = 0; c < keys; ++c) s[c] = value(s[c], i, j + c);
    }
  }

  template <class R>
  HEED_DEVICE constexpr R derivative(R, int, int) const {
    return R(1);
  }

  // sums [1, 2·most + 1]
  template <class X, class R>
  void add_gradient(const View<X, 2>& sums, R d, R, int i, int j) const {
    add_to(sums(0, most + std::clamp(j - i - offset, -most, most)), d);
  }
  template <class X, class R>
  [[gnu::always_inline]] void add_gradient(const View<X, 2>& sums, const R* d, const R* s, int i,
                                           int j, int keys) const {
    const int first = j - i - offset;
    const int last = first + (keys - 1);
    if (first >= most || last <= -most) {
      add_to(sums(0, first >= most ? 2 * most : 0), sum_of<R>(keys, [&](int c) { return d[c]; }));
    } else if (first >= -most && last <= most && sums.stride[1] == 1) {
      X* row = &sums(0, most + first);
      for (int c = 0; c < keys; ++c) add_to(row[c], d[c]);
    } else {
      for (int c = 0; c < keys; ++c) add_gradient(sums, d[c], s[c], i, j + c);
    }
  }

 private:
  HEED_DEVICE const T& at(int distance) const { return middle[distance * stride]; }
};

}  // namespace HEED_ABI

template <class T>
struct Relative {
  View<const T, 2> table;  // [Hq | 1, 2·most + 1]

  HEED_DEVICE BoundRelative<T> bind(const Shape& shape, Index, Index h) const {
    const Index most = table.extent[1] / 2;
    return {table.data + table.offset(table.extent[0] == 1 ? 0 : h, most), table.stride[1],
            static_cast<int>(most), static_cast<int>(shape.end_offset())};
  }
  template <class Arena>
  Relative to_device(Arena& arena) const {
    return {arena.copy(table)};
  }
  View<const T, 4> parameters(const Shape&) const {
    return {table.data,
            {1, table.extent[0], 1, table.extent[1]},
            {0, table.stride[0], 0, table.stride[1]}};
  }
  [[gnu::always_inline]] void check(const Shape& shape) const {
    if (table.extent[0] == 1 || table.extent[0] == shape.Hq) return;
    throw Error("heed::score::relative: a table " + to_string(table) + " for " +
                std::to_string(shape.Hq) + " query heads");
  }
};

inline namespace HEED_ABI {

// Adds table[h, clip(j − p, −k, k) + k] to the score, in logits; p is the query's position aligned
// to the end of the keys.
//
//   table  [Hq, 2k + 1] or [1, 2k + 1]   any strides; keys before the query come first; −inf masks
//
// Refers to the table: it must outlive the score, and a temporary one is a compile error. Throws
// heed::Error for an even number of distances.
template <TensorLike X>
Relative<ScalarOf<X>> relative(X&& table) {
  static_assert(rank_of<X> == 2, "heed::score::relative: the table is [Hq, 2k + 1]");
  static_assert(LastingTensor<X>,
                "heed::score::relative: refers to the tensor, and this one is gone when the "
                "expression ends: give it "
                "a name");
  const auto view = view_of(table);
  require_sane(view, "heed::score::relative", "table");
  require(view.extent[1] % 2 == 1, "heed::score::relative",
          "an even number of distances has no middle", [&] { return "table " + to_string(view); });
  return {view};
}

}  // namespace HEED_ABI
}  // namespace heed::score
