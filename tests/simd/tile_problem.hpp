// A query sub-block of known numbers in guarded memory, its elements by query, key and column.
#pragma once

#include "heed/simd/table.hpp"
#include "simd/guarded.hpp"
#include "simd/numbers.hpp"

namespace heed::test {

struct TileSizes {
  int m_tiles;
  int keys;
  Index D = 1;
  Index Dv = 1;
  Index spare = 0;  // keys that the packed values have room for beyond those there are
  int missing = 0;  // rows that the last row tile has room for, but are no queries
};

// Patterns of computed tiles. Each leaves another kind of hole.
enum class Cells { all, none, even, odd, first_dead, last_dead };

inline constexpr Cells every_pattern[] = {Cells::all, Cells::none,       Cells::even,
                                          Cells::odd, Cells::first_dead, Cells::last_dead};

template <class R>
class TileProblem {
 public:
  const simd::TileShape tile_shape;
  const TileSizes size;
  const int panels;
  const int queries;  // that there is room for
  const Index columns;
  Guarded<R> q, kt, v, scores, acc, max, sum;
  Guarded<std::uint8_t> live;

  TileProblem(const simd::TileShape& shape, const TileSizes& sizes, Side side, Index shift = 0)
      : tile_shape(shape),
        size(sizes),
        panels(static_cast<int>(tile_shape.panels(size.keys))),
        queries(size.m_tiles * tile_shape.mr),
        columns(tile_shape.columns(size.Dv)),
        q(queries * size.D, side, poison<R>, shift),
        kt(panels * size.D * tile_shape.nr, side, poison<R>, shift),
        v(columns * (size.keys + size.spare), side, poison<R>, shift),
        scores(Index{queries} * panels * tile_shape.nr, side, poison<R>, shift),
        acc(queries * columns, side, poison<R>, shift),
        max(queries, side, poison<R>, shift),
        sum(queries, side, poison<R>, shift),
        live(Index{size.m_tiles} * panels, side, 1, shift) {}

  simd::PackedA<R> packed_q() const { return {q.data(), size.D, tile_shape}; }
  simd::PackedB<R> packed_kt() const {
    return {kt.data(), size.D, Index{panels} * tile_shape.nr, tile_shape};
  }
  simd::PackedB<R> packed_v() const {
    return {v.data(), size.keys + size.spare, columns, tile_shape};
  }
  simd::ScoreTiles<R> tiles() const {
    return simd::ScoreTiles<R>::of(tile_shape, scores.data(), live.data(), queries - size.missing,
                                   size.keys);
  }
  simd::RowState<R> state() const {
    return {max.data(), sum.data(), {acc.data(), columns, tile_shape}};
  }

  void qk(const simd::GemmKernels<R>& kernels) const {
    kernels.qk(packed_q(), packed_kt(), tiles());
  }
  void pv(const simd::GemmKernels<R>& kernels) const {
    kernels.pv(tiles(), packed_v(), state().acc);
  }
  void pv_masked(const simd::GemmKernels<R>& kernels, const std::uint8_t* unmasked) const {
    kernels.pv_masked(tiles(), packed_v(), unmasked, state().acc);
  }

  void kill(Cells pattern) {
    for (int g = 0; g < size.m_tiles; ++g) {
      for (int p = 0; p < panels; ++p) {
        const bool dead = pattern == Cells::none || (pattern == Cells::even && (g + p) % 2 == 0) ||
                          (pattern == Cells::odd && (g + p) % 2 == 1) ||
                          (pattern == Cells::first_dead && p == 0) ||
                          (pattern == Cells::last_dead && p == panels - 1);
        // 1 and 2: kernels ask for nonzero only.
        live[Index{g} * panels + p] = static_cast<std::uint8_t>(dead ? 0 : 1 + p % 2);
      }
    }
  }

  bool is_live(int query, int key) const {
    return live[Index{query / tile_shape.mr} * panels + key / tile_shape.nr] != 0;
  }
  bool seen_by_any(int key) const {
    for (int query = 0; query < queries; query += tile_shape.mr) {
      if (is_live(query, key)) return true;
    }
    return false;
  }

  R& q_at(int query, Index d) const { return q[query * size.D + d]; }
  R& kt_at(Index d, int key) const {
    return kt[(key / tile_shape.nr * size.D + d) * tile_shape.nr + key % tile_shape.nr];
  }
  R& v_at(int key, Index column) const {
    const Index begin = column / tile_shape.nr * tile_shape.nr;
    const Index width = std::min<Index>(tile_shape.nr, columns - begin);
    return v[begin * (size.keys + size.spare) + key * width + column - begin];
  }
  // `key` may lie beyond the last one, in the last panel.
  R& score(int query, int key) const {
    const Index at = Index{query / tile_shape.mr} * panels + key / tile_shape.nr;
    return scores[(at * tile_shape.mr + query % tile_shape.mr) * tile_shape.nr +
                  key % tile_shape.nr];
  }
  Index score_index(int query, int key) const { return &score(query, key) - scores.data(); }
  R& acc_at(int query, Index column) const {
    const Index begin = column / tile_shape.nr * tile_shape.nr;
    const Index width = std::min<Index>(tile_shape.nr, columns - begin);
    const Index m_tile = query / tile_shape.mr;
    return acc[(m_tile * columns + begin) * tile_shape.mr + query % tile_shape.mr * width + column -
               begin];
  }

  // Queries and keys, 0 beyond the last key.
  void fill_operands(Numbers numbers) {
    for (R& x : q) x = static_cast<R>(numbers.next());
    for (Index d = 0; d < size.D; ++d) {
      for (int key = 0; key < panels * tile_shape.nr; ++key) {
        kt_at(d, key) = key < size.keys ? static_cast<R>(numbers.next()) : R(0);
      }
    }
  }

  // Weights of live tiles, values, and what was summed before. The rest stays poisoned: dead tiles,
  // weights beyond the last key, values that no row sees, room for more values.
  void fill_weights(Numbers numbers) {
    for (int query = 0; query < queries; ++query) {
      for (int key = 0; key < size.keys; ++key) {
        if (is_live(query, key)) score(query, key) = static_cast<R>(numbers.next() + 1);
      }
      for (Index d = 0; d < columns; ++d) {
        acc_at(query, d) = static_cast<R>(numbers.next());
      }
    }
    for (int key = 0; key < size.keys; ++key) {
      if (!seen_by_any(key)) continue;
      for (Index d = 0; d < columns; ++d) {
        v_at(key, d) = d < size.Dv ? static_cast<R>(numbers.next()) : R(0);
      }
    }
  }
};

}  // namespace heed::test
