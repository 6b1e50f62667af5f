// The shape of a micro-kernel's tile and the packing of its operands.
//
// A tile is MR rows × NR columns whose sums stay in registers. Packed words hold `k_pack` elements
// each along the summed dimension K, `splits` words an element. packed.hpp has the operands.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/assert.hpp"
#include "heed/core/types.hpp"

namespace heed::simd {

inline constexpr int max_mr = 16;  // of any instruction set

// BLIS's MR and NR, with the packing of the K dimension.
struct TileShape {
  int mr;          // rows of a row tile
  int nr;          // columns of a panel
  int vl;          // elements of a register; the last panel of columns is cut to a multiple of it
  int k_pack = 1;  // elements of a packed word along K: 2 for bf16 pairs
  int k_multiple = 1;    // packed words along K come in multiples of it
  int splits = 1;        // packed words that add up to an element: 3 for bf16x3
  int kv_words = 16384;  // packed keys of a KV block that stay in L2, and as many values
  int packed_p = 0;      // numbers that pv packs p into at a time; 0 where it reads p as it is

  constexpr Index m_tiles(Index rows) const { return (rows + mr - 1) / mr; }
  constexpr Index panels(Index columns) const { return (columns + nr - 1) / nr; }
  constexpr Index columns(Index elements) const { return (elements + vl - 1) / vl * vl; }
  // Rows in whole row tiles, columns in whole panels.
  constexpr Index rows_in_tiles(Index rows) const { return m_tiles(rows) * mr; }
  constexpr Index columns_in_panels(Index count) const { return panels(count) * nr; }
  // The row tile that holds a row, the panel that holds a column.
  template <class N>
  constexpr N tile_of(N row) const {
    return static_cast<N>(row / mr);
  }
  template <class N>
  constexpr N panel_of(N column) const {
    return static_cast<N>(column / nr);
  }
  constexpr bool begins_tile(Index row) const { return row % mr == 0; }
  constexpr bool begins_panel(Index column) const { return column % nr == 0; }
  constexpr Index round_up_k(Index elements) const {
    return (elements + k_multiple * k_pack - 1) / (k_multiple * k_pack) * (k_multiple * k_pack);
  }
  constexpr Index packed_k(Index elements) const { return round_up_k(elements) / k_pack * splits; }

  constexpr bool operator==(const TileShape&) const = default;
  // Scores and sums lie alike, however the operands are packed.
  constexpr bool has_tiles_of(const TileShape& other) const {
    return mr == other.mr && nr == other.nr && vl == other.vl;
  }
};

inline namespace HEED_ABI {

// The assertions of typed views (packed.hpp), out of line with their texts: each kernel makes
// several, and inlined they are a twentieth of its code.
#if defined(NDEBUG)
#define HEED_BORDER inline
#else
#define HEED_BORDER [[gnu::noinline]] inline
#endif
HEED_BORDER void assert_packed_alike([[maybe_unused]] const TileShape& a,
                                     [[maybe_unused]] const TileShape& b,
                                     [[maybe_unused]] Index columns) {
  HEED_ASSERT(a == b && columns % b.vl == 0);
}
HEED_BORDER void assert_tiles_alike([[maybe_unused]] const TileShape& a,
                                    [[maybe_unused]] const TileShape& b,
                                    [[maybe_unused]] Index columns) {
  HEED_ASSERT(a.has_tiles_of(b) && columns % b.vl == 0);
}
HEED_BORDER void assert_holds_scores([[maybe_unused]] const TileShape& a,
                                     [[maybe_unused]] const TileShape& b, [[maybe_unused]] int rows,
                                     [[maybe_unused]] int columns, [[maybe_unused]] int m_tiles,
                                     [[maybe_unused]] int panels) {
  HEED_ASSERT(a.has_tiles_of(b) && rows <= m_tiles * b.mr && columns <= panels * b.nr);
}
#undef HEED_BORDER

}  // namespace HEED_ABI

}  // namespace heed::simd
