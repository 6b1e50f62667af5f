// Each query sees `count` keys drawn at random without replacement, the same for every head.
//
// Membership and the list of a row's keys cost O(1) a key and no memory (random_keys.hpp).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "heed/core/error.hpp"
#include "heed/mask/coverage_grid.hpp"
#include "heed/mask/random_keys.hpp"

namespace heed::mask {

inline namespace HEED_ABI {

struct BoundRandom {
  int count;
  int keys;
  std::uint64_t seed;

  HEED_DEVICE constexpr bool allows(int i, int j) const {
    if (count >= keys) return true;
    return drawn() ? RowDraw(seed, i, count, keys).has(j)
                   : RowPermutation(seed, i, keys).rank_of(j) < count;
  }

  // Exact while listing a row's keys costs less than asking for each key of the tile.
  HEED_DEVICE constexpr Coverage coverage(Tile tile) const {
    if (count >= keys) return Coverage::Full;
    const int width = tile.k_end - tile.k_begin;
    if (count > width && !drawn()) return Coverage::Partial;
    bool some = false;
    bool all = count >= width;
    for (int i = tile.q_begin; i < tile.q_end && (all || !some); ++i) {
      const int seen = drawn() ? seen_in(RowDraw(seed, i, count, keys), tile)
                               : seen_in(RowPermutation(seed, i, keys), tile);
      some = some || seen > 0;
      all = all && seen == width;
    }
    if (!some) return Coverage::Empty;
    return all ? Coverage::Full : Coverage::Partial;
  }

  // Lists each row's keys once for all its grid, unless hardly a cell would be left Empty.
  void cover(const CoverageGrid& grid, std::uint8_t* found, Index stride) const {
    const bool most = Index{count} * grid.height > Index{4} * (keys / grid.width);
    const auto start = static_cast<std::uint8_t>(count >= keys ? Coverage::Full
                                                 : most        ? Coverage::Partial
                                                               : Coverage::Empty);
    for (int r = 0; r < grid.rows(); ++r, found += stride) {
      std::fill_n(found, grid.columns(), start);
      if (start != 0) continue;
      const Tile row = grid.of_rows(r, r + 1).tile();
      for (int i = row.q_begin; i < row.q_end; ++i) {
        for_each_key(i, row, [&](int key) {
          found[(key - row.k_begin) / grid.width] = static_cast<std::uint8_t>(Coverage::Partial);
        });
      }
    }
  }

  // Lists few keys of a row; of many it asks for each key of the tile.
  [[gnu::always_inline]] void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    const int width = tile.k_end - tile.k_begin;
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      if (count < keys && !drawn()) {
        RowPermutation(seed, i, keys).mark_below(count, tile.k_begin, width, allowed);
        continue;
      }
      for (int c = 0; c < width; ++c) allowed[c] = count >= keys ? 1 : 0;
      if (count < keys) for_each_key(i, tile, [&](int key) { allowed[key - tile.k_begin] = 1; });
    }
  }

 private:
  // So few of many that hardly one is drawn twice.
  HEED_DEVICE constexpr bool drawn() const { return count <= RowDraw::most && count <= keys / 4; }
  template <class Row>
  HEED_DEVICE constexpr int seen_in(const Row& row, Tile tile) const {
    int seen = 0;
    for (int n = 0; n < count; ++n) {
      const int key = row.key_at(n);
      seen += key >= tile.k_begin && key < tile.k_end ? 1 : 0;
    }
    return seen;
  }
  // f(key) for each key of the row that lies in the tile; on the host, as what calls it.
  template <class F>
  void for_each_key(int row, Tile tile, const F& f) const {
    const auto offer = [&](int key) {
      if (key >= tile.k_begin && key < tile.k_end) f(key);
    };
    if (drawn()) {
      const RowDraw draw(seed, row, count, keys);
      for (int n = 0; n < count; ++n) offer(draw.key_at(n));
    } else {
      const RowPermutation permutation(seed, row, keys);
      for (int n = 0; n < count; ++n) offer(permutation.key_at(n));
    }
  }
};

}  // namespace HEED_ABI

struct Random {
  int count;
  std::uint64_t seed;

  HEED_DEVICE constexpr BoundRandom bind(const Shape& shape, Index, Index) const {
    return {count, static_cast<int>(shape.keys()), seed};
  }
};

inline namespace HEED_ABI {

// Throws heed::Error for a negative count.
inline Random random(int count, std::uint64_t seed = 0) {
  if (count < 0) {
    throw Error("heed::mask::random: count " + std::to_string(count) + " is negative");
  }
  return {count, seed};
}

}  // namespace HEED_ABI
}  // namespace heed::mask
