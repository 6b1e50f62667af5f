// Scratch of a flash call: a worker's operands and states, and the states of tasks that share rows.
#pragma once

#include <atomic>
#include <memory>

#include "heed/attention/flash/plan.hpp"
#include "heed/attention/flash/row_states.hpp"
#include "heed/core/scratch.hpp"

namespace heed {

// Scratch of one worker. R is the type of sums.
template <class R>
struct FlashScratch {
  simd::PackedA<R> q;        // [rows of a task, D]
  simd::PackedB<R> kt;       // [D, block]; without columns where keys are not packed
  simd::PackedB<R> v;        // [block, Dv]
  R* scores;                 // [rows of a query sub-block, block]
  R* packed_p;               // where the products pack p
  simd::RowState<R> state;   // of the task
  RowStates<R> pending;      // of its KV splits that wait to be merged, [states() − 1]
  std::uint8_t* block_mask;  // [row tiles, panels of a mask window of keys], mask::Coverage
  std::uint8_t* coverage;    // [row tiles of a query sub-block, panels of a block], the same
  std::uint8_t* unmasked;    // as scores; written only where values are not finite
  R* gathered;               // [block, D], then [block, Dv]; of the tensors' type, or nothing
};

inline namespace HEED_ABI {

// States of tasks that share their queries, for the last of them to end.
template <class R>
struct SharedStates {
  RowStates<R> states;        // [tasks]
  std::atomic<Index>* ended;  // [tasks / key_tasks], tasks of each set

  // Before the first task.
  void start(const FlashPlan& plan) const {
    for (Index n = 0; n < sets(plan); ++n) std::construct_at(ended + n, 0);
  }
  // Task `task` has left its state. True for the last of its set, which sees those of the others.
  bool is_last(Index task, Index key_tasks) const {
    return ended[task / key_tasks].fetch_add(1) == key_tasks - 1;
  }
  // Sets of tasks that share their queries.
  static Index sets(const FlashPlan& plan) {
    return plan.key_tasks() == 1 ? 0 : plan.tasks / plan.key_tasks();
  }
};

// `count` states of a task's rows.
template <class R>
RowStates<R> row_states(Carver& carver, Index count, const Shape& shape, const FlashPlan& plan) {
  return {carver, count, plan.rows(), plan.tile_shape.columns(shape.Dv), plan.tile_shape};
}

template <class R>
FlashScratch<R> flash_scratch(Carver& carver, const Shape& shape, const FlashPlan& plan) {
  const simd::TileShape& tile_shape = plan.tile_shape;
  const Index scores = plan.scores(), columns = tile_shape.columns(shape.Dv);
  const Index windows = tile_shape.panels(std::min(plan.mask_window(), shape.Lk));
  const Index keys = plan.unpacked ? 0 : plan.block;
  const Index row = plan.gathers ? checked_sum(shape.D, shape.Dv) : 0;
  const auto bytes = [&](Index count) { return carver.array<std::uint8_t>(count); };
  R* q = carver.array<R>(simd::PackedA<R>::size(tile_shape, plan.rows(), shape.D));
  R* kt = carver.array<R>(simd::PackedB<R>::size(tile_shape, shape.D, keys));
  R* v = carver.array<R>(simd::PackedB<R>::size(plan.value_shape, plan.block, columns));
  return {
      .q = {q, shape.D, tile_shape},
      .kt = {kt, shape.D, keys, tile_shape},
      .v = {v, plan.block, columns, plan.value_shape},
      .scores = carver.array<R>(scores),
      .packed_p = carver.array<R>(plan.value_shape.packed_p),
      .state = row_states<R>(carver, 1, shape, plan).first,
      .pending = row_states<R>(carver, plan.states() - 1, shape, plan),
      .block_mask = bytes(checked_product(tile_shape.m_tiles(plan.rows()), windows)),
      .coverage = bytes(checked_product(plan.q_inner, tile_shape.panels(plan.block))),
      .unmasked = bytes(scores),
      .gathered = carver.array<R>(checked_product(plan.block, row)),
  };
}

template <class R>
SharedStates<R> shared_states(Carver& carver, const Shape& shape, const FlashPlan& plan) {
  const Index sets = SharedStates<R>::sets(plan);
  return {row_states<R>(carver, sets * plan.key_tasks(), shape, plan),
          carver.array<std::atomic<Index>>(sets)};
}

template <class R>
Index flash_scratch_bytes(const Shape& shape, const FlashPlan& plan) {
  Carver counter(nullptr);
  flash_scratch<R>(counter, shape, plan);
  return static_cast<Index>(counter.used());
}

template <class R>
Index shared_state_bytes(const Shape& shape, const FlashPlan& plan) {
  Carver counter(nullptr);
  shared_states<R>(counter, shape, plan);
  return static_cast<Index>(counter.used());
}

// Of all workers together. Throws heed::Error where that does not fit 64 bits.
template <class R>
Index flash_workspace_bytes(const Shape& shape, const FlashPlan& plan) {
  return checked_sum(shared_state_bytes<R>(shape, plan),
                     checked_product(flash_scratch_bytes<R>(shape, plan), plan.workers));
}

}  // namespace HEED_ABI
}  // namespace heed
