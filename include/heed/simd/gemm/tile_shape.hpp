// The shape of a micro-kernel's tile, and the arguments of row tiles against a packed KV block.
//
// A tile is MR queries × NR keys (or value columns) whose sums stay in registers. q is packed in
// row tiles, kt and v in panels of NR. They hold packed words: `k_pack` elements each along the
// summed dimension, `splits` words an element. D and keys count elements.
#pragma once

#include <cstdint>

#include "heed/core/types.hpp"

namespace heed::simd {

inline constexpr int max_mr = 16;  // of any instruction set

// Packed P of an AMX pass: 24 KiB, so that P and as much of V fill L1.
inline constexpr Index packed_p_per_pass = 6144;

// BLIS's MR and NR, with the packing of the K dimension.
struct TileShape {
  int mr;          // queries of a row tile
  int nr;          // keys, or columns of values, of a panel
  int vl;          // elements of a register; the last panel of columns is cut to a multiple of it
  int k_pack = 1;  // elements of a packed word along K: 2 for bf16 pairs
  int k_multiple = 1;  // packed words along K come in multiples of it
  int splits = 1;      // packed words that add up to an element: 3 for bf16x3

  constexpr Index m_tiles(Index queries) const { return (queries + mr - 1) / mr; }
  constexpr Index panels(Index keys) const { return (keys + nr - 1) / nr; }
  constexpr Index columns(Index Dv) const { return (Dv + vl - 1) / vl * vl; }
  constexpr Index round_up_k(Index elements) const {
    return (elements + k_multiple * k_pack - 1) / (k_multiple * k_pack) * (k_multiple * k_pack);
  }
  constexpr Index packed_k(Index elements) const { return round_up_k(elements) / k_pack * splits; }
  // True where packing rounds nothing of a sum's type; else operands stay bfloat16.
  constexpr bool lossless() const { return k_pack == 1 || splits > 1; }

  // Offset of column d of a row in the accumulator, [m_tiles, columns / nr, mr, nr].
  constexpr Index offset(Index row, Index d, Index all_columns) const {
    const Index begin = d / nr * nr;
    const Index stride = all_columns - begin < nr ? all_columns - begin : nr;
    return (row / mr * all_columns + begin) * mr + row % mr * stride + d - begin;
  }
};

template <class R>
struct TileArgs {
  int queries = 0;  // rows that are real; the last row tile may have fewer than it has room for
  int m_tiles = 0;
  int panels = 0;      // of keys in this block
  int keys = 0;        // in this block; qk leaves whole registers beyond them as they were
  Index D = 0;         // dimension of a query
  Index columns = 0;   // dimension of a value, in whole registers
  Index capacity = 0;  // keys that a panel of packed values has room for

  const R* q = nullptr;   // [m_tiles · mr, D]
  const R* kt = nullptr;  // [panels, D, nr]
  const R* v = nullptr;   // [columns / nr, capacity, nr]
  const std::uint8_t* coverage =
      nullptr;          // [m_tiles, panels]; 0: the tile is skipped, never looked at
  R* scores = nullptr;  // [m_tiles, panels, mr, nr]; then the weights
  R* acc = nullptr;     // [m_tiles, columns / nr, mr, nr]
  R* max = nullptr;     // [m_tiles · mr], of the scores so far
  R* sum = nullptr;     // [m_tiles · mr], of exp(score − max)

  R scale = 1;           // of the scores, where queries are packed without it
  R* weights = nullptr;  // [packed_p_per_pass], room where tiles are multiplied
};

}  // namespace heed::simd
