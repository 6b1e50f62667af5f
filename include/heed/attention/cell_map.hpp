// Which cells are computed: the mask is asked for all cells of a task and a stretch of keys at
// once.
#pragma once

#include <algorithm>

#include "heed/attention/flash_task.hpp"

namespace heed {

inline namespace HEED_ABI {

// Which cells of some groups of queries and of keys [k_begin, k_end) are to be computed:
// live[g][p] = mask::Coverage. Returns that of all together.
template <class T, class M, class S>
mask::Coverage find_live_cells(const FlashTask<T, M, S>& task, int first_group, int groups,
                               int k_begin, int k_end, std::uint8_t* live) {
  const simd::Geometry& cell = task.plan.cell;
  const Shape& shape = task.problem.shape;
  const int first = first_group * cell.rows, last = first + groups * cell.rows;
  const mask::Coverage whole =
      coverage_of(task.mask, shape, task.rows, first, last, k_begin, k_end);
  if (whole == mask::Coverage::Partial) {
    cover_cells(task.mask, shape, task.rows, first, last, cell.rows, k_begin, k_end, cell.panel,
                live);
  } else {
    const Index count = groups * cell.panels(k_end - k_begin);
    std::fill_n(live, count, static_cast<std::uint8_t>(whole));
  }
  return whole;
}

}  // namespace HEED_ABI

// What is known of cells taken together: Full or Empty where all are.
class CoverageSum {
 public:
  void add(const std::uint8_t* found, int count) {
    for (int n = 0; n < count; ++n) {
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

}  // namespace heed
