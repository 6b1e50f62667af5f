// The operands of products as typed views. They alone know where an element lies.
//
//   PackedA      [rows, K]                        MR rows are a row tile
//   PackedB      [columns / NR, K, NR]            panels; the last one is cut to whole registers
//   ScoreTiles   [m_tiles, panels, MR, NR]        with the coverage of each tile
//   Accumulator  [m_tiles, columns / NR, MR, NR]  the last panel is cut as PackedB's
//
// Shape is a TileShape, or in a kernel a constant (ConstantShape), so that the compiler sees MR and
// NR. in() passes from the one to the other and asserts that they are equal.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include "heed/core/assert.hpp"
#include "heed/core/view.hpp"
#include "heed/simd/gemm/tile_shape.hpp"
#include "heed/simd/vector.hpp"

namespace heed::simd {

// A tile shape that is known where it is compiled.
template <const TileShape& Value>
struct ConstantShape {
  static constexpr const TileShape& value = Value;

  HEED_INLINE constexpr operator TileShape() const {  // NOLINT(google-explicit-constructor)
    return Value;
  }
};

// a(i, k), packed along K.
template <class R, class Shape = TileShape>
struct PackedA {
  R* data;
  Index k;  // elements of a row
  Shape shape;
  std::remove_const_t<R> scale = 1;  // of the products, where pack_a leaves it out

  HEED_INLINE static Index size(const TileShape& shape, Index rows, Index k) {
    return checked_product(rows, shape.packed_k(k));
  }

  HEED_INLINE constexpr Index stride() const { return TileShape(shape).packed_k(k); }
  HEED_INLINE constexpr R* row(Index i) const { return data + i * stride(); }
  HEED_INLINE constexpr R* tile(Index g) const { return row(g * TileShape(shape).mr); }
  HEED_INLINE constexpr PackedA from_row(Index i) const { return {row(i), k, shape, scale}; }

  template <class Constant>
  HEED_INLINE PackedA<R, Constant> in(Constant constant) const {
    assert_packed_alike(shape, Constant::value, 0);
    return {data, k, constant, scale};
  }
  template <std::same_as<const R> X>
  HEED_INLINE constexpr operator PackedA<X, Shape>() const  // NOLINT(google-explicit-*)
      requires(!std::is_same_v<X, R>) {
    return {data, k, shape, scale};
  }
};

// b(k, j), packed in panels of NR columns.
template <class R, class Shape = TileShape>
struct PackedB {
  R* data;
  Index k;        // elements of a column that there is room for
  Index columns;  // in whole registers
  Shape shape;

  HEED_INLINE static Index size(const TileShape& shape, Index k, Index columns) {
    return checked_product(shape.packed_k(k), columns);
  }

  HEED_INLINE constexpr Index panels() const { return TileShape(shape).panels(columns); }
  HEED_INLINE constexpr Index width(Index p) const {
    const Index nr = TileShape(shape).nr;
    return columns - p * nr < nr ? columns - p * nr : nr;
  }
  HEED_INLINE constexpr R* panel(Index p) const {
    return data + p * TileShape(shape).nr * TileShape(shape).packed_k(k);
  }
  // From a split of an element to the next one in panel p.
  HEED_INLINE constexpr Index split_stride(Index p) const {
    return TileShape(shape).packed_k(k) / TileShape(shape).splits * width(p);
  }
  // Panel p alone, and with those behind it.
  HEED_INLINE constexpr PackedB only_panel(Index p) const { return {panel(p), k, width(p), shape}; }
  HEED_INLINE constexpr PackedB from_panel(Index p) const {
    return {panel(p), k, columns - p * TileShape(shape).nr, shape};
  }
  // The elements from `row` on, where words are elements and every panel is whole; k stays.
  HEED_INLINE constexpr PackedB from_row(Index row) const {
    HEED_ASSERT(TileShape(shape).begins_panel(columns));
    return {data + row * TileShape(shape).nr, k, columns, shape};
  }
  // Element (k, j), where words are elements.
  HEED_INLINE constexpr R& at(Index row, Index j) const {
    const Index p = j / TileShape(shape).nr;
    return panel(p)[row * width(p) + j % TileShape(shape).nr];
  }

  template <class Constant>
  HEED_INLINE PackedB<R, Constant> in(Constant constant) const {
    assert_packed_alike(shape, Constant::value, columns);
    return {data, k, columns, constant};
  }
  template <std::same_as<const R> X>
  HEED_INLINE constexpr operator PackedB<X, Shape>() const  // NOLINT(google-explicit-*)
      requires(!std::is_same_v<X, R>) {
    return {data, k, columns, shape};
  }
};

// s(i, j) in tiles, as qk writes them and pv reads them.
template <class R, class Shape = TileShape>
struct ScoreTiles {
  R* data;
  const std::uint8_t* coverage;  // [m_tiles, panels]; 0: the tile is skipped, never looked at
  int rows, columns;             // that are real; the last tiles have room for more
  int m_tiles, panels;
  Shape shape;
  R* packed_p = nullptr;  // [shape.packed_p], room of pv

  HEED_INLINE static ScoreTiles of(const TileShape& shape, R* data, const std::uint8_t* coverage,
                                   Index rows, Index columns) {
    return {data,
            coverage,
            static_cast<int>(rows),
            static_cast<int>(columns),
            static_cast<int>(shape.m_tiles(rows)),
            static_cast<int>(shape.panels(columns)),
            shape};
  }
  HEED_INLINE static Index size(const TileShape& shape, Index rows, Index columns) {
    return checked_product(shape.rows_in_tiles(rows), shape.columns_in_panels(columns));
  }

  HEED_INLINE constexpr Index tiles() const { return Index{m_tiles} * panels; }
  HEED_INLINE constexpr Index tile_size() const {
    return Index{TileShape(shape).mr} * TileShape(shape).nr;
  }
  HEED_INLINE constexpr bool live(Index g, Index p) const { return coverage[g * panels + p] != 0; }
  HEED_INLINE constexpr R* tile(Index g, Index p) const {
    return data + (g * panels + p) * tile_size();
  }
  // Row r of row tile g in panel p, [NR].
  HEED_INLINE constexpr R* tile_row(Index g, Index r, Index p) const {
    return tile(g, p) + r * TileShape(shape).nr;
  }
  // Row i's part of panel p, [NR].
  HEED_INLINE constexpr R* row(Index i, Index p) const {
    const Index mr = TileShape(shape).mr;
    return tile_row(i / mr, i % mr, p);
  }
  HEED_INLINE constexpr R& at(Index i, Index j) const {
    return row(i, j / TileShape(shape).nr)[j % TileShape(shape).nr];
  }
  // f(tile) for every live tile.
  template <class F>
  HEED_INLINE void for_each_live_tile(const F& f) const {
    for (Index at = 0; at < tiles(); ++at) {
      if (coverage[at] != 0) f(data + at * tile_size());
    }
  }
  // Columns [first, first + count) of row tile g; `first` begins a panel.
  HEED_INLINE constexpr ScoreTiles part(int g, int first, int count) const {
    const TileShape own = shape;
    HEED_ASSERT(own.begins_panel(first));
    ScoreTiles some = from_tile(g);
    some.data = tile(g, first / own.nr);
    some.coverage += first / own.nr;
    some.rows = some.rows < own.mr ? some.rows : own.mr;
    some.columns = count;
    some.m_tiles = 1;
    some.panels = static_cast<int>(own.panels(count));
    return some;
  }
  // Row tile g and those behind it.
  HEED_INLINE constexpr ScoreTiles from_tile(int g) const {
    ScoreTiles rest = *this;
    rest.data = tile(g, 0);
    rest.coverage = coverage + Index{g} * panels;
    rest.rows = rows - g * TileShape(shape).mr;
    rest.m_tiles = m_tiles - g;
    return rest;
  }

  template <class Constant>
  HEED_INLINE ScoreTiles<R, Constant> in(Constant constant) const {
    assert_holds_scores(shape, Constant::value, rows, columns, m_tiles, panels);
    return {data, coverage, rows, columns, m_tiles, panels, constant, packed_p};
  }
};

// c(i, d), as pv adds to it.
template <class R, class Shape = TileShape>
struct Accumulator {
  R* data;
  Index columns;  // in whole registers
  Shape shape;

  HEED_INLINE static Index size(const TileShape& shape, Index rows, Index columns) {
    return checked_product(shape.rows_in_tiles(rows), columns);
  }

  HEED_INLINE constexpr Index width(Index p) const {
    const Index nr = TileShape(shape).nr;
    return columns - p * nr < nr ? columns - p * nr : nr;
  }
  HEED_INLINE constexpr Index panels() const { return TileShape(shape).panels(columns); }
  // Rows of row tile g in panel p, [MR, width(p)].
  HEED_INLINE constexpr R* tile(Index g, Index p) const {
    return data + (g * columns + p * TileShape(shape).nr) * TileShape(shape).mr;
  }
  // Row r of row tile g, column d.
  HEED_INLINE constexpr R& tile_at(Index g, Index r, Index d) const {
    const Index nr = TileShape(shape).nr;
    return tile(g, d / nr)[r * width(d / nr) + d % nr];
  }
  // Row i's part of panel p, [width(p)].
  HEED_INLINE constexpr R* row(Index i, Index p) const {
    const Index mr = TileShape(shape).mr;
    return tile(i / mr, p) + i % mr * width(p);
  }
  HEED_INLINE constexpr R& at(Index i, Index d) const {
    return row(i, d / TileShape(shape).nr)[d % TileShape(shape).nr];
  }
  // Row tile g and those behind it.
  HEED_INLINE constexpr Accumulator from_tile(Index g) const {
    return {tile(g, 0), columns, shape};
  }

  template <class Constant>
  HEED_INLINE Accumulator<R, Constant> in(Constant constant) const {
    assert_tiles_alike(shape, Constant::value, columns);
    return {data, columns, constant};
  }
  template <std::same_as<const R> X>
  HEED_INLINE constexpr operator Accumulator<X, Shape>() const  // NOLINT(google-explicit-*)
      requires(!std::is_same_v<X, R>) {
    return {data, columns, shape};
  }
};

}  // namespace heed::simd
