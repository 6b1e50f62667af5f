// The mainloop on tensor cores of sm_80 and later: mma.sync, ldmatrix and cp.async.
//
// In a pass after the first, values that are NaN or infinite are taken out of p·v, which changes no
// bit of rows that do not see them, and given to the rows that do.
#pragma once

#include <limits>

#include "heed/cuda/kernel/copy_tile.cuh"
#include "heed/cuda/kernel/forward_call.cuh"
#include "heed/cuda/kernel/kv_tile_iterator.cuh"
#include "heed/cuda/kernel/products.cuh"
#include "heed/cuda/kernel/scheduler.cuh"

namespace heed::cuda {

template <class KernelTraits, class T>
class MainloopSm80 {
 public:
  using Traits = KernelTraits;
  using Element = T;
  using Fragments = MmaFragments<KernelTraits>;
  using State = SoftmaxState<Fragments>;
  using Scores = typename Fragments::Scores;
  template <bool Plain_score>
  using Powers = PowersOf2<Plain_score>;

  HEED_GPU MainloopSm80(const ForwardParams<T, float>& params, const Task& task)
      : params_(params), task_(task) {
    if (ptx::thread() != 0) return;
    const Index head = task.h / params.shape.group();
    ptx::store_shared(KernelTraits::heads_at, Heads{params.q.matrix(task.b, task.h).data,
                                                    params.k.matrix(task.b, head).data,
                                                    params.v.matrix(task.b, head).data});
  }

  HEED_GPU void begin_pass() {
    ptx::barrier();  // the last tile before has been read
    load_queries(0);
  }
  HEED_GPU void end_pass() { ptx::cp_async_wait<0>(); }

  HEED_GPU bool last_pass() const { return nonfinite_pass_; }
  HEED_GPU void next_pass() { nonfinite_pass_ = true; }

  // Values arrive during q · kᵀ, the next keys during softmax and p · v. Heads wider than the tile
  // go round once for each of their chunks of columns; softmax follows the last.
  template <class Weigh>
  HEED_GPU void attend(State& state, const KvTileIterator<KernelTraits>& kv_tiles, int first,
                       const Weigh& weigh) {
    constexpr int span = KvTileIterator<KernelTraits>::span;
    Scores scores;
    int column = 0;
    int tile = kv_tiles.next(0);
    if (tile < span) load_keys(first + tile, 0);
    while (tile < span) {
      const int this_tile = tile;
      if (!KernelTraits::chunked || column == 0) for_each(scores, [](float& x) { x = 0; });
      wait_and_sync();
      if (!KernelTraits::chunked || column == 0) load_values(first + this_tile);
      add_dots<KernelTraits, T>(scores, columns() - column);
      const bool complete = !KernelTraits::chunked || column + KernelTraits::width >= columns();
      column = complete ? 0 : column + KernelTraits::width;
      if (complete) tile = kv_tiles.next(this_tile + 1);
      wait_and_sync();
      if (KernelTraits::chunked && columns() > KernelTraits::width) load_queries(column);
      if (tile < span) load_keys(first + tile, column);
      if (!complete) continue;
      weigh(scores, this_tile);
      add_product(state, scores, first + this_tile);
    }
  }

  HEED_GPU void keep_unmasked(const Scores& scores) {
    if (nonfinite_pass_) ptx::store_shared(own_unmasked(), unmasked_of<Fragments>(scores));
  }

  // Rows go through the queries' memory, from where they are stored in whole chunks.
  HEED_GPU void begin_store() { ptx::barrier(); }
  HEED_GPU void store_row(typename Fragments::Out& out, int r, const FinishedRow<float>& end) {
    const float factor = end.fully_masked ? 0.0f : end.keep_scale / end.sum;
#pragma unroll
    for (int n = 0; n < KernelTraits::width / 8; ++n) {
      const float* x = out[r / 2][n] + r % 2 * 2;
      store_pair<KernelTraits, T>(KernelTraits::q_at, end.row, n, end.column, x[0] * factor,
                                  x[1] * factor);
    }
  }
  HEED_GPU void end_store() {
    ptx::barrier();
    store_tile<KernelTraits, KernelTraits::queries>(
        KernelTraits::q_at, params_.out.matrix(task_.b, task_.h), task_.q_begin, value_begin(),
        params_.out_vectors);
  }

  // Of the value's dimensions, the first of this block.
  HEED_GPU int value_begin() const { return KernelTraits::exact ? 0 : task_.v_begin; }

 private:
  // nvcc refuses it in a kernel.
  static constexpr float infinity = std::numeric_limits<float>::infinity();

  struct Heads {
    const T* queries;  // [Lq, D]
    const T* keys;     // [Lk, D]
    const T* values;   // [Lk, Dv]
  };

  // out += p · v.
  HEED_GPU void add_product(State& state, const Scores& weights, int tile) {
    const bool marked = nonfinite_pass_ && take_out_non_finite();
    add_values<KernelTraits, T>(state, weights, value_columns());
    if (marked) add_non_finite(state, tile);
  }

  // Puts 0 for values that are NaN or infinite; whether the tile has any. A barrier.
  HEED_GPU bool take_out_non_finite() {
    bool any = false;
    change_own<T, KernelTraits, KernelTraits::keys>(
        KernelTraits::v_at, value_columns(), [&](T value) {
          const bool bad = !is_finite(ptx::to_float(value));
          any = any || bad;
          return bad ? T{0} : value;
        });
    return ptx::barrier_or(any);
  }

  // Gives what take_out_non_finite took to the rows that see it: the tile twice more, as marks of
  // what is +inf or NaN, then of what is −inf or NaN. NaN is the sum of both.
  HEED_GPU void add_non_finite(State& state, int tile) {
#pragma unroll 1
    for (float sign = 1; sign >= -1; sign -= 2) {
      ptx::barrier();
      load_values(tile);
      ptx::cp_async_wait<0>();
      const T one = from_float<T>(1);
      change_own<T, KernelTraits, KernelTraits::keys>(
          KernelTraits::v_at, value_columns(), [&](T value) {
            const float x = ptx::to_float(value);
            const bool marked = !is_finite(x) && (is_nan(x) || (x > 0) == (sign > 0));
            return marked ? one : T{0};
          });
      ptx::barrier();
      add_marked<KernelTraits, T>(state, ptx::load_shared<typename Fragments::Bits>(own_unmasked()),
                                  value_columns(), sign * infinity);
    }
  }

  // Waits for all cp.async copies, then syncs the block.
  HEED_GPU void wait_and_sync() {
    ptx::cp_async_wait<0>();
    ptx::barrier();
  }

  HEED_GPU void load_queries(int column) {
    load_tile<KernelTraits, KernelTraits::queries>(KernelTraits::q_at,
                                                   matrix_at(heads().queries, params_.q),
                                                   task_.q_begin, column, params_.q_vectors);
    ptx::cp_async_commit();  // even where no keys follow, this is waited for
  }
  HEED_GPU void load_keys(int tile, int column) {
    load_tile<KernelTraits, KernelTraits::keys>(
        KernelTraits::k_at, matrix_at(heads().keys, params_.k), tile * KernelTraits::keys, column,
        params_.k_vectors);
    ptx::cp_async_commit();
  }
  HEED_GPU void load_values(int tile) {
    load_tile<KernelTraits, KernelTraits::keys>(
        KernelTraits::v_at, matrix_at(heads().values, params_.v), tile * KernelTraits::keys,
        value_begin(), params_.v_vectors);
    ptx::cp_async_commit();
  }
  // In shared memory, where they take no registers between tiles.
  HEED_GPU static Heads heads() { return ptx::load_shared<Heads>(KernelTraits::heads_at); }
  HEED_GPU static View<const T, 2> matrix_at(const T* data, const View<const T, 4>& all) {
    return {data, {all.extent[2], all.extent[3]}, {all.stride[2], all.stride[3]}};
  }

  HEED_GPU int columns() const {
    return KernelTraits::exact ? KernelTraits::width : static_cast<int>(params_.shape.D);
  }
  HEED_GPU int value_columns() const {
    if constexpr (KernelTraits::exact) return KernelTraits::width;
    return smaller(static_cast<int>(params_.shape.Dv) - value_begin(), KernelTraits::width);
  }
  HEED_GPU static ptx::Shared own_unmasked() {
    return KernelTraits::unmasked_at + static_cast<ptx::Shared>(8 * ptx::thread());
  }

  HEED_GPU static int smaller(int a, int b) { return a < b ? a : b; }

  const ForwardParams<T, float>& params_;
  Task task_;
  bool nonfinite_pass_ = false;
};

}  // namespace heed::cuda
