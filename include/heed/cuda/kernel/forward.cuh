// Attention, a block of queries at a time: the skeleton of every forward kernel.
// Dao, "FlashAttention-2" (2023), Algorithm 1.
//
// A mainloop is what differs between instruction sets: how tiles come to shared memory, the two
// products, how rows leave (mainloop_sm80.cuh, mainloop_simt.cuh).
//
// Values that are NaN or infinite cost the usual case nothing: p·v runs over all keys of a tile,
// masked ones with a weight of 0, and 0·inf leaves NaN in every row. A block that ends with a sum
// that is not finite starts again, and its mainloop keeps such values from rows that do not see
// them. All passes are the same code, asked once a tile: a second copy of it would take half of the
// kernel's instructions.
#pragma once

#include <concepts>
#include <limits>

#include "heed/cuda/kernel/kv_tile_iterator.cuh"
#include "heed/cuda/kernel/score_epilogue.cuh"
#include "heed/cuda/kernel/softmax.cuh"

namespace heed::cuda {

template <class X>
concept Mainloop = requires(X loop, SoftmaxState<typename X::Fragments>& state,
                            typename X::Fragments::Scores& scores,
                            const KvTileIterator<typename X::Traits>& kv_tiles, int first,
                            void (*weigh)(typename X::Fragments::Scores&, int tile),
                            const FinishedRow<typename X::Fragments::Real>& row) {
  typename X::Element;
  typename X::template Powers<true>;  // weights of plain scores (softmax.cuh)
  // A pass over all keys: for each tile of a span, q·kᵀ, weigh(scores, tile) and p·v.
  loop.begin_pass();
  loop.attend(state, kv_tiles, first, weigh);
  loop.keep_unmasked(scores);  // between mask and softmax
  loop.end_pass();
  // Another pass, where a sum is not finite and something is left to do about it.
  { loop.last_pass() } -> std::same_as<bool>;
  loop.next_pass();
  loop.begin_store();
  loop.store_row(state.out, 0, row);
  loop.end_store();
  { loop.value_begin() } -> std::same_as<int>;  // of the value's dimensions, the block's first
};

template <Mainloop Loop, class M, class S>
class ForwardKernel {
 public:
  using Traits = typename Loop::Traits;
  using Fragments = typename Loop::Fragments;
  using R = typename Fragments::Real;
  using Call = ForwardCall<typename Loop::Element, R, M, S>;

  HEED_DEVICE static TileScheduler scheduler(const Shape& shape) {
    return TileScheduler::of(shape, Traits::queries, Traits::width);
  }

  // The task of this block.
  HEED_GPU static void run(const Call& call) {
    const TileScheduler tasks = scheduler(call.shape);
    if (ptx::block() < tasks.count()) ForwardKernel(call, tasks[ptx::block()]).run_task();
  }

 private:
  using State = SoftmaxState<Fragments>;
  using Powers = typename Loop::template Powers<std::is_same_v<S, score::None>>;
  static constexpr R nan = std::numeric_limits<R>::quiet_NaN();  // nvcc refuses it in a kernel

  HEED_GPU ForwardKernel(const Call& call, const Task& task)
      : call_(call), task_(task), epilogue_(call, task_), mainloop_(call, task_) {}

  HEED_GPU void run_task() {
    State state;
#pragma unroll 1
    for (;;) {
      attend(state);
      if (mainloop_.last_pass() || !ptx::barrier_or(!all_finite(state))) break;
      mainloop_.next_pass();
    }
    store_output(state);
  }

  // All keys, for all queries of the block.
  HEED_GPU void attend(State& state) {
    clear(state);
    mainloop_.begin_pass();
    const auto tiles = static_cast<int>((call_.shape.Lk + Traits::keys - 1) / Traits::keys);
    const int q_end = smaller(task_.q_begin + Traits::queries, static_cast<int>(call_.shape.Lq));
    for (int first = 0; first < tiles; first += KvTileIterator<Traits>::span) {
      kv_tiles_.load(epilogue_.mask(), task_.q_begin, q_end, first, call_.shape.Lk);
      mainloop_.attend(state, kv_tiles_, first, [&](auto& scores, int tile) {
        weigh(state, scores, (first + tile) * Traits::keys, kv_tiles_.full(tile));
      });
    }
    mainloop_.end_pass();
  }

  // Scores become weights.
  HEED_GPU void weigh(State& state, typename Fragments::Scores& scores, int k_begin, bool full) {
    epilogue_.template apply<Powers::folds_scale>(scores, k_begin, full);
    mainloop_.keep_unmasked(scores);
    online_softmax(state, scores, Powers{call_.scale});
    epilogue_.drop(scores, k_begin);
  }

  // out = Σ weight·value / Σ weight, zero for a row that saw no key; lse beside it. A sink is among
  // the weights.
  HEED_GPU void store_output(State& state) {
    const R keep_scale = call_.dropout.active() ? static_cast<R>(call_.dropout.keep_scale) : R(1);
    const int first_row = Fragments::first_row();
    const int column = Fragments::first_column();
    const Powers powers{call_.scale};
    const R sink = call_.sinks == nullptr ? mask_if(true, R(0)) : call_.sinks[task_.h];
    mainloop_.begin_store();
#pragma unroll
    for (int r = 0; r < Fragments::rows; ++r) {
      const int row = first_row + Fragments::row_of(r);
      FinishedRow<R> end{row, column, Fragments::row_sum(state.sum[r]), keep_scale, false};
      end.fully_masked = end.sum == 0 && is_masked(state.max[r]);
      if (end.sum == 0 && !end.fully_masked) end.sum = nan;  // scores overflowed as powers of 2
      end.join(sink, powers.natural(state.max[r]));
      mainloop_.store_row(state.out, r, end);
      const int i = task_.q_begin + row;
      if (i < call_.shape.Lq && call_.lse.data != nullptr && mainloop_.value_begin() == 0 &&
          column == 0) {
        ptx::store_global(&call_.lse(task_.b, task_.h, i), end.lse(powers, state.max[r], sink));
      }
    }
    mainloop_.end_store();
  }

  HEED_GPU static int smaller(int a, int b) { return a < b ? a : b; }

  const Call& call_;
  Task task_;
  ScoreEpilogue<Fragments, Call> epilogue_;
  Loop mainloop_;
  KvTileIterator<Traits> kv_tiles_;
};

}  // namespace heed::cuda
