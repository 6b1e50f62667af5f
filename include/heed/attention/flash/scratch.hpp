// Scratch of a flash call: a worker's operands and states, and the states of tasks that share rows.
#pragma once

#include "heed/attention/flash/plan.hpp"
#include "heed/attention/flash/row_states.hpp"
#include "heed/core/scratch.hpp"

namespace heed {

// Scratch of one worker. R is the type of sums.
template <class R>
struct FlashScratch {
  R* q;
  R* kt;
  R* v;
  R* scores;
  R* packed_p;               // where the products pack p
  simd::RowState<R> state;   // of the task
  RowStates<R> pending;      // of its KV splits that wait to be merged, [states() − 1]
  std::uint8_t* block_mask;  // [row tiles, panels of a mask window of keys], mask::Coverage
  std::uint8_t* coverage;    // [row tiles of a query sub-block, panels of a block], the same
  std::uint8_t* unmasked;    // as scores; written only where values are not finite
  R* gathered;               // [block, D], then [block, Dv]; of the tensors' type, or nothing

  [[gnu::always_inline]] FlashScratch(Carver& carver, const Shape& shape, const FlashPlan& plan)
      : q(carver.array<R>(simd::PackedA<R>::size(plan.tile_shape, plan.rows(), shape.D))),
        kt(carver.array<R>(simd::PackedB<R>::size(plan.tile_shape, shape.D, plan.block))),
        v(carver.array<R>(simd::PackedB<R>::size(plan.value_shape, plan.block,
                                                 plan.tile_shape.columns(shape.Dv)))),
        scores(carver.array<R>(plan.scores())),
        packed_p(carver.array<R>(plan.value_shape.packed_p)),
        state(
            RowStates<R>(carver, 1, plan.rows(), plan.tile_shape.columns(shape.Dv), plan.tile_shape)
                .first),
        pending(carver, plan.states() - 1, plan.rows(), plan.tile_shape.columns(shape.Dv),
                plan.tile_shape),
        block_mask(carver.array<std::uint8_t>(
            checked_product(plan.tile_shape.m_tiles(plan.rows()),
                            plan.tile_shape.panels(std::min(plan.mask_window(), shape.Lk))))),
        coverage(carver.array<std::uint8_t>(
            checked_product(plan.q_inner, plan.tile_shape.panels(plan.block)))),
        unmasked(carver.array<std::uint8_t>(plan.scores())),
        gathered(carver.array<R>(
            plan.gathers ? checked_product(plan.block, checked_sum(shape.D, shape.Dv)) : 0)) {}
};

inline namespace HEED_ABI {

// The state of each task where several tasks share their queries, else nothing.
template <class R>
RowStates<R> task_states(Carver& carver, const Shape& shape, const FlashPlan& plan) {
  return {carver, plan.key_tasks() == 1 ? 0 : plan.tasks, plan.rows(),
          plan.tile_shape.columns(shape.Dv), plan.tile_shape};
}

template <class R>
Index flash_scratch_bytes(const Shape& shape, const FlashPlan& plan) {
  Carver counter(nullptr);
  FlashScratch<R>(counter, shape, plan);
  return static_cast<Index>(counter.used());
}

template <class R>
Index task_state_bytes(const Shape& shape, const FlashPlan& plan) {
  Carver counter(nullptr);
  task_states<R>(counter, shape, plan);
  return static_cast<Index>(counter.used());
}

// Of all workers together. Throws heed::Error where that does not fit 64 bits.
template <class R>
Index flash_workspace_bytes(const Shape& shape, const FlashPlan& plan) {
  return checked_sum(task_state_bytes<R>(shape, plan),
                     checked_product(flash_scratch_bytes<R>(shape, plan), plan.workers));
}

}  // namespace HEED_ABI
}  // namespace heed
