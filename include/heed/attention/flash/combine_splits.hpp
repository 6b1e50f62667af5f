// KV splits of a row become one: (m, l, o) of each are merged in the order of MergeTree.
#pragma once

#include "heed/attention/flash/merge_tree.hpp"
#include "heed/attention/flash/task.hpp"

namespace heed {

inline namespace HEED_ABI {

// The states of a task's KV splits. Slot 0 of the tree is the task's own state.
template <class T, class M, class S>
class SplitStates {
  using R = Accum<T>;

 public:
  explicit SplitStates(const FlashTask<T, M, S>& task) : task_(task) {}

  // Goes on to the KV split of key `begin`; keys come in ascending order. True where it is another
  // one, whose rows are to be cleared.
  bool enter(Index begin) {
    const Index split = begin / task_.plan.split_keys;
    if (tree_.count() > 0 && tree_.last() == split) return false;
    tree_.add(split, merger());
    return true;
  }
  // Rows [first, first + count) of that KV split have seen nothing.
  void clear_rows(Index first, Index count) const {
    clear(state().from_row(first), std::min(count, pending().rows - first));
  }
  // The state of that KV split.
  simd::RowState<R> state() const { return slot(tree_.count() - 1); }

  // Merges all of them into the task's state.
  void finish() {
    if (tree_.count() == 0) clear(slot(0), pending().rows);
    tree_.finish(merger());
  }

 private:
  const RowStates<R>& pending() const { return task_.scratch.pending; }
  simd::RowState<R> slot(int n) const { return n == 0 ? task_.state : pending()[n - 1]; }
  auto merger() const {
    return [this](int into, int from) {
      merge_states(task_.kernels.packed.isa, slot(into), slot(from), task_.rows.count());
    };
  }

  const FlashTask<T, M, S>& task_;
  MergeTree tree_;
};

// The states of the tasks that share their queries with `task`, merged into the first of them.
template <class R>
simd::RowState<R> combine_splits(const RowStates<R>& states, Isa isa, Index task, Index tasks) {
  const Index first = task / tasks * tasks;
  MergeTree tree;
  const auto merge_slots = [&](int into, int from) {
    merge_states(isa, states[first + tree.at(into)], states[first + tree.at(from)], states.rows);
  };
  for (Index split = 0; split < tasks; ++split) tree.add(split, merge_slots);
  tree.finish(merge_slots);
  return states[first];
}

}  // namespace HEED_ABI
}  // namespace heed
