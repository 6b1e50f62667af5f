// A strip: the queries that sweep a packed block of keys together, and where everything of it lies.
//
// Numbers of q, kt and v are elements, or pairs of them where the geometry has a depth of 2 (D and
// keys are then those of elements, half as many numbers, rounded up), or pairs of their parts.
//
// Queries stand in groups, keys and value columns in panels, as wide as the registers of the
// instruction set allow: a cell (one group × one panel) of scores is computed without leaving them.
#pragma once

#include <cstdint>

#include "heed/core/types.hpp"

namespace heed::simd {

inline constexpr int most_rows = 16;  // that a group may have, whatever the instruction set

// Numbers that weights are before tiles of them are multiplied: 24 KiB, which with as much of
// values fill a first cache.
inline constexpr Index weights_at_once = 6144;

// The sizes a set of kernels works in.
struct Geometry {
  int rows;       // queries of a group
  int panel;      // keys, or columns of values, of a panel
  int lanes;      // numbers in a register; the last panel of columns is cut to a multiple of it
  int depth = 1;  // elements that a packed number holds: 2 where pairs are multiplied at once
  int unit = 1;   // packed numbers come in multiples of it
  int parts = 1;  // numbers that an element is the sum of

  constexpr Index groups(Index queries) const { return (queries + rows - 1) / rows; }
  constexpr Index panels(Index keys) const { return (keys + panel - 1) / panel; }
  constexpr Index columns(Index Dv) const { return (Dv + lanes - 1) / lanes * lanes; }
  constexpr Index padded(Index elements) const {
    return (elements + unit * depth - 1) / (unit * depth) * (unit * depth);
  }
  constexpr Index numbers(Index elements) const { return padded(elements) / depth * parts; }
  // Whether packed numbers lose nothing of a sum's type; else they are bfloat16 as they came.
  constexpr bool exact() const { return depth == 1 || parts > 1; }

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
  int keys = 0;        // keys in this block: dots leaves whole registers beyond them as they were
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
  R* sum = nullptr;                    // [groups · rows], of exp(score − max)

  R scale = 1;           // of the scores, where queries are packed without it
  R* weights = nullptr;  // [weights_at_once], room where tiles are multiplied
};

}  // namespace heed::simd
