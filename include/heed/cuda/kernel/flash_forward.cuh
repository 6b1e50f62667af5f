// Attention on tensor cores, a block of queries at a time, any architecture from sm_80.
// Dao, "FlashAttention-2" (2023), Algorithm 1, with mma.sync, ldmatrix and cp.async.
//
// Values that are NaN or infinite cost the usual case nothing: p·v runs over all keys of a tile,
// masked ones with a weight of 0, and 0·inf leaves NaN in every row. A block that ends with a sum
// that is not finite starts again and is careful: it takes such values out of p·v, which changes no
// bit of rows that do not see them, and gives them to the rows that do. Both turns are the same
// code, asked once a tile: a second copy of it would take half of the kernel's instructions.
#pragma once

#include "heed/cuda/kernel/forward_call.cuh"
#include "heed/cuda/kernel/kv_tile_iterator.cuh"
#include "heed/cuda/kernel/products.cuh"

namespace heed::cuda {

template <class KernelTraits, class T, class M, class S>
class FlashForward {
 public:
  using Call = ForwardCall<T, float, M, S>;

  // The task of this block.
  HEED_GPU static void run(const Call& call) {
    const TileScheduler tasks =
        TileScheduler::of(call.shape, KernelTraits::queries, KernelTraits::width);
    if (ptx::block() < tasks.count()) FlashForward(call, tasks[ptx::block()]).run_task();
  }

 private:
  static constexpr bool plain_score = std::is_same_v<S, score::None>;
  using BoundMask = decltype(mask::bind(std::declval<const M&>(), Shape{}, 0, 0));
  using BoundScore = decltype(score::bind(std::declval<const S&>(), Shape{}, 0, 0));

  struct Heads {
    const T* queries;  // [Lq, D]
    const T* keys;     // [Lk, D]
    const T* values;   // [Lk, Dv]
  };

  HEED_GPU FlashForward(const Call& call, const Task& task)
      : call_(call),
        task_(task),
        mask_(mask::bind(call.mask, call.shape, task.b, task.h)),
        score_(score::bind(call.score, call.shape, task.b, task.h)) {
    if (ptx::thread() != 0) return;
    const Index head = task.h / call.shape.group();
    ptx::store_shared(KernelTraits::heads_at,
                      Heads{call.q.matrix(task.b, task.h).data, call.k.matrix(task.b, head).data,
                            call.v.matrix(task.b, head).data});
  }

  HEED_GPU void run_task() {
    SoftmaxState<KernelTraits> rows;
#pragma unroll 1
    for (;;) {
      attend(rows);
      if (nonfinite_pass_ || !ptx::barrier_or(!finite(rows))) break;
      nonfinite_pass_ = true;
    }
    finish(rows);
  }

  // All keys, for all queries of the block.
  HEED_GPU void attend(SoftmaxState<KernelTraits>& rows) {
    clear(rows);
    ptx::barrier();  // the last tile before has been read
    load_queries(0);
    const auto tiles =
        static_cast<int>((call_.shape.Lk + KernelTraits::keys - 1) / KernelTraits::keys);
    for (int first = 0; first < tiles; first += KvTileIterator<KernelTraits>::span) {
      kv_tiles_.load(mask_, task_.q_begin, query_end(), first, call_.shape.Lk);
      attend_to_span(rows, first);
    }
    ptx::cp_async_wait<0>();
  }

  // Values arrive during q · kᵀ, the next keys during softmax and p · v. Heads wider than the cut
  // go round once for each of their chunks of columns; softmax follows the last.
  HEED_GPU void attend_to_span(SoftmaxState<KernelTraits>& rows, int first) {
    Scores<KernelTraits> scores;
    int column = 0;
    int tile = kv_tiles_.next(0);
    if (tile < KvTileIterator<KernelTraits>::span) load_keys(first + tile, 0);
    while (tile < KvTileIterator<KernelTraits>::span) {
      const int this_tile = tile;
      if (!KernelTraits::chunked || column == 0) clear<KernelTraits>(scores);
      wait_and_sync();
      if (!KernelTraits::chunked || column == 0) load_values(first + this_tile);
      add_dots<KernelTraits, T>(scores, columns() - column);
      const bool complete = !KernelTraits::chunked || column + KernelTraits::width >= columns();
      column = complete ? 0 : column + KernelTraits::width;
      if (complete) tile = kv_tiles_.next(this_tile + 1);
      wait_and_sync();
      if (KernelTraits::chunked && columns() > KernelTraits::width) load_queries(column);
      if (tile < KvTileIterator<KernelTraits>::span) load_keys(first + tile, column);
      if (!complete) continue;
      weigh(rows, scores, first + this_tile, kv_tiles_.full(this_tile));
      const bool marked = nonfinite_pass_ && take_out_non_finite();
      add_values<KernelTraits, T>(rows, scores, value_columns());
      if (marked) add_non_finite(rows, first + this_tile);
    }
  }

  // Scores become weights; the careful keep in mind which of them are not masked.
  HEED_GPU void weigh(SoftmaxState<KernelTraits>& rows, Scores<KernelTraits>& scores, int tile,
                      bool full) {
    const int k_begin = tile * KernelTraits::keys;
    if constexpr (!plain_score) {
      modify(scores, k_begin);
    } else if (call_.sign != 1) {
      change_scores<KernelTraits>(scores, 0, [&](float& s, bool) { s *= call_.sign; });
    }
    if (!full) {
      change_scores<KernelTraits>(scores, allowed(k_begin),
                                  [](float& s, bool allows) { s = mask_if(!allows, s); });
    }
    if (nonfinite_pass_) ptx::store_shared(own_seen(), seen_of<KernelTraits>(scores));
    update<KernelTraits, plain_score>(rows, scores, plain_score ? call_.scale * log2_e : log2_e);
    if (call_.dropout.active()) {
      change_scores<KernelTraits>(scores, kept(k_begin),
                                  [](float& p, bool keeps) { p = keeps ? p : 0.0f; });
    }
  }

  HEED_GPU void modify(Scores<KernelTraits>& scores, int k_begin) {
    const int first_query = query_begin() + fragment_row();
    const int first_key = k_begin + fragment_column();
    const int last_query = static_cast<int>(call_.shape.Lq) - 1;
    const int last_key = static_cast<int>(call_.shape.Lk) - 1;
    const float scale = call_.scale * call_.sign;
#pragma unroll
    for (int r = 0; r < KernelTraits::row_blocks; ++r) {
#pragma unroll
      for (int n = 0; n < KernelTraits::keys / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          // Pairs beyond the last query or key are masked later, but a score may read memory.
          const int i = smaller(first_query + 16 * r + e / 2 * 8, last_query);
          const int j = smaller(first_key + 8 * n + e % 2, last_key);
          float& s = scores[r][n][e];
          s = static_cast<float>(score_.value(scale * s, i, j));
        }
      }
    }
  }

  HEED_GPU ScoreBits allowed(int k_begin) {
    const int Lq = static_cast<int>(call_.shape.Lq);
    const int Lk = static_cast<int>(call_.shape.Lk);
    const int first_query = query_begin();
    return ask_of_scores<KernelTraits>([&](int row, int column) {
      const int i = first_query + row;
      const int j = k_begin + column;
      const bool low = i < Lq && j < Lk && mask_.allows(i, j);
      const bool high = i < Lq && j + 1 < Lk && mask_.allows(i, j + 1);
      return (low ? 1u : 0u) | (high ? 2u : 0u);
    });
  }

  HEED_GPU ScoreBits kept(int k_begin) {
    const int first_query = query_begin();
    return ask_of_scores<KernelTraits>([&](int row, int column) {
      const auto i = static_cast<std::uint32_t>(first_query + row);
      const auto j = static_cast<std::uint32_t>(k_begin + column);  // even: one draw has both
      const Words4 words = philox(
          call_.dropout.seed,
          {j / 4, i, static_cast<std::uint32_t>(task_.h), static_cast<std::uint32_t>(task_.b)});
      const bool second = j % 4 != 0;
      const bool low = (second ? words[2] : words[0]) >= call_.dropout.threshold;
      const bool high = (second ? words[3] : words[1]) >= call_.dropout.threshold;
      return (low ? 1u : 0u) | (high ? 2u : 0u);
    });
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
  HEED_GPU void add_non_finite(SoftmaxState<KernelTraits>& rows, int tile) {
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
      add_marked<KernelTraits, T>(rows, ptx::load_shared<ScoreBits>(own_seen()), value_columns(),
                                  sign * -minus_infinity());
    }
  }

  // out = Σ weight·value / Σ weight, zero for a row that saw no key; lse beside it. The rows go
  // through the queries' memory, from where they are stored in whole chunks.
  HEED_GPU void finish(SoftmaxState<KernelTraits>& rows) {
    const float keep_scale =
        call_.dropout.active() ? static_cast<float>(call_.dropout.keep_scale) : 1.0f;
    const float unit = plain_score ? call_.scale : 1.0f;
    const int first_row = warp_row() + fragment_row();
    const int column = fragment_column();
    ptx::barrier();
#pragma unroll
    for (int r = 0; r < KernelTraits::row_blocks; ++r) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float sum = row_sum(rows.sum[r][half]);
        const bool fully_masked = sum == 0 && is_masked(rows.max[r][half]);
        if (sum == 0 && !fully_masked) sum = quiet_nan();  // its scores overflowed as powers of 2
        const float factor = fully_masked ? 0.0f : keep_scale / sum;
        const int row = first_row + 16 * r + 8 * half;
#pragma unroll
        for (int n = 0; n < KernelTraits::width / 8; ++n) {
          const float* x = rows.out[r][n] + 2 * half;
          store_pair<KernelTraits, T>(KernelTraits::q_at, row, n, column, x[0] * factor,
                                      x[1] * factor);
        }
        const int i = task_.q_begin + row;
        if (i < call_.shape.Lq && call_.lse.data != nullptr && value_begin() == 0 && column == 0) {
          ptx::store_global(&call_.lse(task_.b, task_.h, i),
                            mask_if(fully_masked, rows.max[r][half] * unit + logf(sum)));
        }
      }
    }
    ptx::barrier();
    store_tile<KernelTraits, KernelTraits::queries>(
        KernelTraits::q_at, call_.out.matrix(task_.b, task_.h), task_.q_begin, value_begin(),
        call_.out_vectors);
  }

  // Waits for all cp.async copies, then syncs the block.
  HEED_GPU void wait_and_sync() {
    ptx::cp_async_wait<0>();
    ptx::barrier();
  }

  HEED_GPU void load_queries(int column) {
    load_tile<KernelTraits, KernelTraits::queries>(KernelTraits::q_at,
                                                   matrix_at(heads().queries, call_.q),
                                                   task_.q_begin, column, call_.q_vectors);
    ptx::cp_async_commit();  // even where no keys follow, this is waited for
  }
  HEED_GPU void load_keys(int tile, int column) {
    load_tile<KernelTraits, KernelTraits::keys>(KernelTraits::k_at,
                                                matrix_at(heads().keys, call_.k),
                                                tile * KernelTraits::keys, column, call_.k_vectors);
    ptx::cp_async_commit();
  }
  HEED_GPU void load_values(int tile) {
    load_tile<KernelTraits, KernelTraits::keys>(
        KernelTraits::v_at, matrix_at(heads().values, call_.v), tile * KernelTraits::keys,
        value_begin(), call_.v_vectors);
    ptx::cp_async_commit();
  }
  // In shared memory, where they take no registers between tiles.
  HEED_GPU static Heads heads() { return ptx::load_shared<Heads>(KernelTraits::heads_at); }
  HEED_GPU static View<const T, 2> matrix_at(const T* data, const View<const T, 4>& all) {
    return {data, {all.extent[2], all.extent[3]}, {all.stride[2], all.stride[3]}};
  }

  HEED_GPU int columns() const {
    return KernelTraits::exact ? KernelTraits::width : static_cast<int>(call_.shape.D);
  }
  // Of the value's dimensions, those of this block.
  HEED_GPU int value_begin() const { return KernelTraits::exact ? 0 : task_.v_begin; }
  HEED_GPU int value_columns() const {
    if constexpr (KernelTraits::exact) return KernelTraits::width;
    return smaller(static_cast<int>(call_.shape.Dv) - value_begin(), KernelTraits::width);
  }
  HEED_GPU int query_end() const {
    return smaller(task_.q_begin + KernelTraits::queries, static_cast<int>(call_.shape.Lq));
  }
  // First row of this warp, in the block's tile.
  HEED_GPU static int warp_row() {
    return ptx::thread() / ptx::warp_lanes * KernelTraits::warp_queries;
  }
  HEED_GPU static ptx::Shared own_seen() {
    return KernelTraits::seen_at + static_cast<ptx::Shared>(8 * ptx::thread());
  }
  HEED_GPU int query_begin() const { return task_.q_begin + warp_row(); }

  HEED_GPU static int smaller(int a, int b) { return a < b ? a : b; }

  const Call& call_;
  Task task_;
  BoundMask mask_;
  BoundScore score_;
  KvTileIterator<KernelTraits> kv_tiles_;
  bool nonfinite_pass_ = false;  // the second turn
};

}  // namespace heed::cuda
