// The block mask: the coverage of a task's tiles, asked for a whole mask window of keys at once.
#pragma once

#include <algorithm>

#include "heed/attention/flash/task.hpp"
#include "heed/mask/coverage_grid.hpp"

namespace heed {

// Coverage of several tiles together: Full or Empty where all are.
class CoverageSum {
 public:
  void add(const std::uint8_t* found, Index count) {
    for (Index n = 0; n < count; ++n) {
      most_ = std::max(most_, found[n]);
      least_ = std::min(least_, found[n]);
    }
  }
  mask::Coverage value() const {
    return most_ == least_ ? static_cast<mask::Coverage>(most_) : mask::Coverage::Partial;
  }

 private:
  std::uint8_t most_ = 0, least_ = 2;
};

// The tiles of all row tiles of a task and of a mask window of keys, asked for at once.
struct BlockMask {
  const std::uint8_t* found;  // [row tiles, panels], mask::Coverage
  int panels;

  // Copies a part of the map to coverage [m_tiles, count]. Returns the coverage of all of it.
  mask::Coverage copy(int first_m_tile, int m_tiles, int first_panel, int count,
                      std::uint8_t* coverage) const {
    CoverageSum sum;
    for (int g = 0; g < m_tiles; ++g, coverage += count) {
      const std::uint8_t* from = found + Index{first_m_tile + g} * panels + first_panel;
      std::copy_n(from, count, coverage);
      sum.add(from, count);
    }
    return sum.value();
  }
  // True where no row tile sees any of these panels.
  bool empty(int m_tiles, int first_panel, int count) const {
    for (int g = 0; g < m_tiles; ++g) {
      const std::uint8_t* from = found + Index{g} * panels + first_panel;
      if (std::any_of(from, from + count, [](std::uint8_t c) { return c != 0; })) return false;
    }
    return true;
  }
};

inline namespace HEED_ABI {

// Coverage of rows [first, last) in tiles of `height` rows by `width` keys:
// found[r · columns + c] = Coverage of tile c of tile row r.
template <class M, class S>
void cover_query_block(const HeadContexts<M, S>& heads, const QueryBlock& rows, int first, int last,
                       int height, int k_begin, int k_end, int width, std::uint8_t* found) {
  const auto grid_of = [&](int q_begin, int q_end) {
    return mask::CoverageGrid{q_begin, q_end, height, k_begin, k_end, width};
  };
  const int columns = grid_of(0, 1).columns();
  if (rows.heads == 1) {
    const auto& bound = heads[rows.first_head].mask;
    const int end = std::min(last, rows.count());
    return mask::cover(bound, grid_of(rows.q_begin + first, rows.q_begin + end), found, columns);
  }
  for (int row = first; row < last; row += height, found += columns) {
    for_each_head_segment(rows, row, row + height, [&](Index head, int at, int q_begin, int q_end) {
      const auto& bound = heads[head].mask;
      if (at == row) return mask::cover(bound, grid_of(q_begin, q_end), found, columns);
      const auto both = [](std::uint8_t one, std::uint8_t other) {
        return one == other ? one : static_cast<std::uint8_t>(mask::Coverage::Partial);
      };
      mask::combine_coverage(bound, grid_of(q_begin, q_end), found, columns, both);
    });
  }
}

// coverage[m][p] of row tiles [first_m_tile, first_m_tile + m_tiles) and the panels of keys
// [k_begin, k_end). Returns the coverage of all of them together.
template <class T, class M, class S>
mask::Coverage block_coverage(const FlashTask<T, M, S>& task, int first_m_tile, int m_tiles,
                              int k_begin, int k_end, std::uint8_t* coverage) {
  const simd::TileShape& tile_shape = task.plan.tile_shape;
  const int first = first_m_tile * tile_shape.mr, last = first + m_tiles * tile_shape.mr;
  cover_query_block(task.heads, task.rows, first, last, tile_shape.mr, k_begin, k_end,
                    tile_shape.nr, coverage);
  CoverageSum all;
  all.add(coverage, m_tiles * tile_shape.panels(k_end - k_begin));
  return all.value();
}

// f(begin, keys, map, panel) for each block of the keys [first, last) that any row of the task
// sees; the block's tiles start at panel `panel` of the map.
template <class T, class M, class S, class F>
void for_each_live_block(const FlashTask<T, M, S>& task, Index first, Index last, F&& f) {
  const simd::TileShape& tile_shape = task.plan.tile_shape;
  const auto m_tiles = static_cast<int>(tile_shape.m_tiles(task.rows.count()));
  std::uint8_t* found = task.scratch.block_mask;
  for (Index from = first, to = first; from < last; from = to) {
    to = std::min(from + task.plan.mask_window(), last);
    const BlockMask map{found, static_cast<int>(tile_shape.panels(to - from))};
    const mask::Coverage seen =
        block_coverage(task, 0, m_tiles, static_cast<int>(from), static_cast<int>(to), found);
    if (seen == mask::Coverage::Empty) continue;
    for (Index begin = from, keys = 0; begin < to; begin += keys) {
      keys = task.plan.block_keys(begin, to);
      const auto panel = static_cast<int>(tile_shape.panel_of(begin - from));
      if (map.empty(m_tiles, panel, static_cast<int>(tile_shape.panels(keys)))) continue;
      f(static_cast<int>(begin), static_cast<int>(keys), map, panel);
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed
