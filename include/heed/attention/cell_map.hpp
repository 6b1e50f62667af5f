// Which cells are computed: the mask is asked for all cells of a task and a stretch of keys at
// once.
#pragma once

#include <algorithm>

#include "heed/attention/flash_task.hpp"

namespace heed {

// What is known of cells taken together: Full or Empty where all are.
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

// The cells of all groups of a task and of a stretch of keys, asked for at once.
struct CellMap {
  const std::uint8_t* found;  // [groups, panels], mask::Coverage
  int panels;

  // Copies the cells of some groups and panels to live [groups, count].
  mask::Coverage copy(int first_group, int groups, int first_panel, int count,
                      std::uint8_t* live) const {
    CoverageSum sum;
    for (int g = 0; g < groups; ++g, live += count) {
      const std::uint8_t* from = found + Index{first_group + g} * panels + first_panel;
      std::copy_n(from, count, live);
      sum.add(from, count);
    }
    return sum.value();
  }
  // Whether no group sees any of these panels.
  bool empty(int groups, int first_panel, int count) const {
    for (int g = 0; g < groups; ++g) {
      const std::uint8_t* from = found + Index{g} * panels + first_panel;
      if (std::any_of(from, from + count, [](std::uint8_t c) { return c != 0; })) return false;
    }
    return true;
  }
};

inline namespace HEED_ABI {

// Which cells of some groups of queries and of keys [k_begin, k_end) are to be computed:
// live[g][p] = mask::Coverage. Returns that of all together.
template <class T, class M, class S>
mask::Coverage find_live_cells(const FlashTask<T, M, S>& task, int first_group, int groups,
                               int k_begin, int k_end, std::uint8_t* live) {
  const simd::Geometry& cell = task.plan.cell;
  const int first = first_group * cell.rows, last = first + groups * cell.rows;
  cover_cells(task.mask, task.problem.shape, task.rows, first, last, cell.rows, k_begin, k_end,
              cell.panel, live);
  CoverageSum all;
  all.add(live, groups * cell.panels(k_end - k_begin));
  return all.value();
}

// f(begin, keys, map, panel) for each block of the keys [first, last) that any row of the task
// sees; the block's cells start at panel `panel` of the map.
template <class T, class M, class S, class F>
void for_each_live_block(const FlashTask<T, M, S>& task, Index first, Index last, F&& f) {
  const simd::Geometry& cell = task.plan.cell;
  const auto groups = static_cast<int>(cell.groups(task.rows.count()));
  std::uint8_t* cells = task.scratch.cells;
  for (Index from = first, to = first; from < last; from = to) {
    to = std::min(from + task.plan.stretch(), last);
    const CellMap map{cells, static_cast<int>(cell.panels(to - from))};
    const mask::Coverage seen =
        find_live_cells(task, 0, groups, static_cast<int>(from), static_cast<int>(to), cells);
    if (seen == mask::Coverage::Empty) continue;
    for (Index begin = from; begin < to; begin += task.plan.block) {
      const auto keys = static_cast<int>(std::min(task.plan.block, to - begin));
      const auto panel = static_cast<int>((begin - from) / cell.panel);
      if (map.empty(groups, panel, static_cast<int>(cell.panels(keys)))) continue;
      f(static_cast<int>(begin), keys, map, panel);
    }
  }
}

}  // namespace HEED_ABI
}  // namespace heed
