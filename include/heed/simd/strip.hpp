// A strip: the queries that sweep a packed block of keys together, and where everything of it lies.
//
// Queries stand in groups, keys and value columns in panels, as wide as the registers of the
// instruction set allow: a cell (one group × one panel) of scores is computed without leaving them.
#pragma once

#include <cstdint>

#include "heed/core/types.hpp"

namespace heed::simd {

inline constexpr int most_rows = 16;  // that a group may have, whatever the instruction set

// The sizes a set of kernels works in.
struct Geometry {
  int rows;   // queries of a group
  int panel;  // keys, or columns of values, of a panel
  int lanes;  // numbers in a register; the last panel of columns is cut to a multiple of it

  constexpr Index groups(Index queries) const { return (queries + rows - 1) / rows; }
  constexpr Index panels(Index keys) const { return (keys + panel - 1) / panel; }
  constexpr Index columns(Index Dv) const { return (Dv + lanes - 1) / lanes * lanes; }

  // Where number d of a row lies among weighted values, [groups, columns / panel, rows, panel].
  constexpr Index place(Index row, Index d, Index all_columns) const {
    const Index begin = d / panel * panel;
    const Index stride = all_columns - begin < panel ? all_columns - begin : panel;
    return (row / rows * all_columns + begin) * rows + row % rows * stride + d - begin;
  }
};

template <class R>
struct Strip {
  int queries = 0;  // rows that are real; the last group may have fewer than it has room for
  int groups = 0;
  int panels = 0;      // of keys in this block
  int keys = 0;        // keys in this block
  Index D = 0;         // dimension of a query
  Index columns = 0;   // dimension of a value, in whole registers
  Index capacity = 0;  // keys that a panel of packed values has room for

  const R* q = nullptr;                // [groups · rows, D]
  const R* kt = nullptr;               // [panels, D, panel]
  const R* v = nullptr;                // [columns / panel, capacity, panel]
  const std::uint8_t* live = nullptr;  // [groups, panels]; 0: the cell is skipped, never looked at
  R* scores = nullptr;                 // [groups, panels, rows, panel]; then the weights
  R* acc = nullptr;                    // [groups, columns / panel, rows, panel]
  R* max = nullptr;                    // [groups · rows], of the scores so far
  R* sum = nullptr;                    // [groups · rows], of exp2(score − max)
};

}  // namespace heed::simd
