// The order in which the softmax states of KV splits are merged: a binary tree over their numbers.
#pragma once

#include <array>
#include <bit>
#include <cstddef>

#include "heed/core/types.hpp"

namespace heed {

// Neighbours merge first where they share the lower ancestor in the binary tree over all numbers:
// 0 and 1, then 2 and 3, then those two pairs. The shape depends on the numbers alone, so a part
// of the numbers that is a subtree merges to the same bits in a call of its own.
// States are added in ascending order; those that wait lie in slots 0 to count − 1.
class MergeTree {
 public:
  // The slot of the state `number`, after merge(into, from) of all slots that come before it.
  template <class F>
  int add(Index number, F&& merge) {
    while (count_ >= 2 && ancestor(count_ - 1, number) > ancestor(count_ - 2, last())) {
      merge_last(merge);
    }
    numbers_[static_cast<std::size_t>(count_)] = number;
    return count_++;
  }
  // Merges what waits, into slot 0.
  template <class F>
  void finish(F&& merge) {
    while (count_ >= 2) merge_last(merge);
  }

  int count() const { return count_; }
  // The number of the last state that was added.
  Index last() const { return at(count_ - 1); }
  // Any number of those that were merged in a slot.
  Index at(int slot) const { return numbers_[static_cast<std::size_t>(slot)]; }

 private:
  // Height above the leaves at which the paths of a slot and of a number meet.
  int ancestor(int slot, Index number) const {
    return static_cast<int>(std::bit_width(static_cast<std::size_t>(at(slot) ^ number)));
  }
  template <class F>
  [[gnu::noinline]] void merge_last(F&& merge) {
    --count_;
    merge(count_ - 1, count_);
  }

  std::array<Index, 64> numbers_;  // of those that wait
  int count_ = 0;
};

}  // namespace heed
