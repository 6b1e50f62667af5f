// A strip of known numbers in guarded memory, its elements by query, key and column.
#pragma once

#include "simd/guarded.hpp"
#include "simd/numbers.hpp"

namespace heed::test {

struct StripSizes {
  int groups;
  int keys;
  Index D = 1;
  Index Dv = 1;
  Index spare = 0;  // keys that the packed values have room for beyond those there are
  int missing = 0;  // rows that the last group has room for, but are no queries
};

// Which cells are computed. Each leaves another kind of hole.
enum class Cells { all, none, even, odd, first_dead, last_dead };

inline constexpr Cells every_pattern[] = {Cells::all, Cells::none,       Cells::even,
                                          Cells::odd, Cells::first_dead, Cells::last_dead};

template <class R>
class StripProblem {
 public:
  const simd::Geometry cell;
  const StripSizes size;
  const int panels;
  const int queries;  // that there is room for
  const Index columns;
  Guarded<R> q, kt, v, scores, acc, max, sum;
  Guarded<std::uint8_t> live;

  StripProblem(const simd::Geometry& geometry, const StripSizes& sizes, Side side, Index shift = 0)
      : cell(geometry),
        size(sizes),
        panels(static_cast<int>(cell.panels(size.keys))),
        queries(size.groups * cell.rows),
        columns(cell.columns(size.Dv)),
        q(queries * size.D, side, poison<R>, shift),
        kt(panels * size.D * cell.panel, side, poison<R>, shift),
        v(columns * (size.keys + size.spare), side, poison<R>, shift),
        scores(Index{queries} * panels * cell.panel, side, poison<R>, shift),
        acc(queries * columns, side, poison<R>, shift),
        max(queries, side, poison<R>, shift),
        sum(queries, side, poison<R>, shift),
        live(Index{size.groups} * panels, side, 1, shift) {}

  simd::Strip<R> strip() const {
    return {queries - size.missing,
            size.groups,
            panels,
            size.keys,
            size.D,
            columns,
            size.keys + size.spare,
            q.data(),
            kt.data(),
            v.data(),
            live.data(),
            scores.data(),
            acc.data(),
            max.data(),
            sum.data()};
  }

  void kill(Cells pattern) {
    for (int g = 0; g < size.groups; ++g) {
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
    return live[Index{query / cell.rows} * panels + key / cell.panel] != 0;
  }
  bool seen_by_any(int key) const {
    for (int query = 0; query < queries; query += cell.rows) {
      if (is_live(query, key)) return true;
    }
    return false;
  }

  R& q_at(int query, Index d) const { return q[query * size.D + d]; }
  R& kt_at(Index d, int key) const {
    return kt[(key / cell.panel * size.D + d) * cell.panel + key % cell.panel];
  }
  R& v_at(int key, Index column) const {
    const Index begin = column / cell.panel * cell.panel;
    const Index width = std::min<Index>(cell.panel, columns - begin);
    return v[begin * (size.keys + size.spare) + key * width + column - begin];
  }
  // `key` may lie beyond the last one, in the last panel.
  R& score(int query, int key) const {
    const Index at = Index{query / cell.rows} * panels + key / cell.panel;
    return scores[(at * cell.rows + query % cell.rows) * cell.panel + key % cell.panel];
  }
  Index score_index(int query, int key) const { return &score(query, key) - scores.data(); }
  R& acc_at(int query, Index column) const {
    const Index begin = column / cell.panel * cell.panel;
    const Index width = std::min<Index>(cell.panel, columns - begin);
    const Index group = query / cell.rows;
    return acc[(group * columns + begin) * cell.rows + query % cell.rows * width + column - begin];
  }

  // Queries and keys, 0 beyond the last key.
  void fill_operands(Numbers numbers) {
    for (R& x : q) x = static_cast<R>(numbers.next());
    for (Index d = 0; d < size.D; ++d) {
      for (int key = 0; key < panels * cell.panel; ++key) {
        kt_at(d, key) = key < size.keys ? static_cast<R>(numbers.next()) : R(0);
      }
    }
  }

  // Weights of live cells, values, and what was summed before. The rest stays poisoned: dead cells,
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
