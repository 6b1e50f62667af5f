// Keys in panels and values in rows, as caches keep those of one key head; or keys alone, whose
// first features are their values.
#pragma once

#include <algorithm>

#include "heed/core/view.hpp"
#include "heed/kv/source.hpp"

namespace heed::kv {

inline namespace HEED_ABI {

// Memory of some keys and values of a head; T may be const.
template <class T>
struct Panels {
  T* k;  // [panels, D, width]
  T* v;  // [keys, Dv], or null where values are the first Dv features of their keys
  Index D, Dv, width;

  // Elements of the panels of so many keys.
  static Index size(Index keys, Index D, Index width) {
    return simd::ColumnPanels<T>::size(keys, D, width);
  }

  // Rows x [n, D] become keys [first, first + n).
  template <class X>
  void store_keys(Index first, const View<const X, 2>& x) const {
    for (Index j = 0; j < x.extent[0]; ++j) {
      T* to = key_panels().column(first + j);
      for (Index d = 0; d < D; ++d, to += width) *to = static_cast<T>(x(j, d));
    }
  }
  template <class X>
  void store_values(Index first, const View<const X, 2>& x) const {
    T* to = v + first * Dv;
    for (Index j = 0; j < x.extent[0]; ++j) {
      for (Index d = 0; d < Dv; ++d) *to++ = static_cast<T>(x(j, d));
    }
  }

  // Rows k [n, D] and v [n, Dv] become tokens [first, first + n).
  template <class K, class V>
  void store(Index first, const View<const K, 2>& k_rows, const View<const V, 2>& v_rows) const {
    store_keys(first, k_rows);
    if (v != nullptr) store_values(first, v_rows);
  }
  // Tokens [first, first + count) of `from`, which may be these, become tokens from `to` on, which
  // are none behind them.
  template <class From>
  void copy(const Panels<From>& from, Index first, Index count, Index to) const {
    copy_keys<T>(from.keys(first, count), D, width, to, k);
    if (v != nullptr) std::copy_n(from.v + first * Dv, count * Dv, v + to * Dv);
  }

  PanelKeys<std::remove_const_t<T>> keys(Index first, Index count) const {
    const simd::ColumnPanels<T> all = key_panels();
    return {all.panel_of(first), all.place(first), count, width};
  }
  // Without columns where values are in their keys.
  View<const T, 2> values(Index first, Index count) const {
    if (v == nullptr) return {nullptr, {count, 0}, {0, 1}};
    return {v + first * Dv, {count, Dv}, {Dv, 1}};
  }

 private:
  simd::ColumnPanels<T> key_panels() const { return {k, D, width}; }
};

// Copies columns of a panel [D, width] to one of `to_width`; they may move up within it. Columns
// that fill a cache line are copied with a length that the compiler knows.
template <class T>
void copy_columns(const T* from, Index width, Index D, Index columns, T* to, Index to_width) {
  constexpr Index line = 64 / sizeof(T);
  for (Index d = 0; d < D; ++d, from += width, to += to_width) {
    if (columns == line) {
      std::copy_n(from, line, to);
    } else {
      std::copy_n(from, columns, to);
    }
  }
}

// Copies keys of D numbers to the columns from `first` on of the panels of `width` at `to`, which
// may be those of `from` where keys move up.
template <class T>
void copy_keys(const PanelKeys<T>& from, Index D, Index width, Index first, T* to) {
  const simd::ColumnPanels<T> target{to, D, width};
  for (Index j = 0, columns = 0; j < from.count; j += columns) {
    columns = std::min({from.left(j), target.left(first + j), from.count - j});
    copy_columns(from.column(j, D), from.width, D, columns, target.column(first + j), width);
  }
}

}  // namespace HEED_ABI
}  // namespace heed::kv
