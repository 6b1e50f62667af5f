// Exact attention in float and double, without tensor cores: tiles in shared memory, every product
// an ordinary multiply-add in the inputs' own type.
//
// A block of 16 by 16 threads has 64 queries and 64 keys at a time, a thread 4 by 4 of their
// scores: two loads of 16 bytes feed 16 multiply-adds, which is what shared memory can keep up
// with.
#pragma once

#include <cmath>
#include <limits>

#include "heed/core/types.hpp"
#include "heed/cuda/kernel/forward_call.cuh"
#include "heed/cuda/kernel/kv_tile_iterator.cuh"

namespace heed::cuda {

// Tile sizes of a block: `Width` of the value's dimensions at a time.
template <class R, int Width>
struct SimtTraits {
  static constexpr int width = Width;
  static constexpr int threads = 256;
  static constexpr int queries = 64;
  static constexpr int keys = 64;
  static constexpr int per_thread = 4;  // queries, and keys
  static constexpr int blocks_per_sm = sizeof(R) == 4 ? 2 : 1;

  // 128 bytes of a query or key at a time; 16 more keep neighbouring rows in different banks.
  static constexpr int depth = 128 / static_cast<int>(sizeof(R));
  static constexpr int pad = 16 / static_cast<int>(sizeof(R));
  static constexpr int dot_row = depth + pad;
  static constexpr int weight_row = keys + pad;

  HEED_DEVICE static constexpr ptx::Shared bytes(int count) {
    return static_cast<ptx::Shared>(count) * static_cast<ptx::Shared>(sizeof(R));
  }
  static constexpr ptx::Shared q_at = 0;
  static constexpr ptx::Shared k_at = q_at + bytes(queries * dot_row);
  static constexpr ptx::Shared p_at = k_at + bytes(keys * dot_row);
  static constexpr ptx::Shared v_at = p_at + bytes(queries * weight_row);
  static constexpr ptx::Shared kv_tiles_at = v_at + bytes(keys * width);
  static constexpr ptx::Shared shared_bytes = kv_tiles_at + 64;
};

// As many elements as one load of 16 bytes brings.
template <class R>
struct alignas(16) Lane16 {
  static constexpr int count = 16 / static_cast<int>(sizeof(R));
  R x[static_cast<std::size_t>(count)];
};

template <class KernelTraits, class R, class M, class S>
class PlainForward {
 public:
  using Call = ForwardCall<R, R, M, S>;

  HEED_GPU static void run(const Call& call) {
    const TileScheduler tasks =
        TileScheduler::of(call.shape, KernelTraits::queries, KernelTraits::width);
    if (ptx::block() < tasks.count()) PlainForward(call, tasks[ptx::block()]).run_task();
  }

 private:
  static constexpr int per = KernelTraits::per_thread;
  static constexpr int values = KernelTraits::width / 16;            // columns of a thread
  static constexpr R largest_value = std::numeric_limits<R>::max();  // nvcc refuses it in a kernel
  using BoundMask = decltype(mask::bind(std::declval<const M&>(), Shape{}, 0, 0));
  using BoundScore = decltype(score::bind(std::declval<const S&>(), Shape{}, 0, 0));

  template <class X>
  using EachRow = X[static_cast<std::size_t>(per)];
  using Scores = EachRow<EachRow<R>>;

  struct State {
    R out[static_cast<std::size_t>(per)][static_cast<std::size_t>(values)];
    EachRow<R> max, sum;
  };

  HEED_GPU PlainForward(const Call& call, const Task& task)
      : call_(call),
        task_(task),
        mask_(mask::bind(call.mask, call.shape, task.b, task.h)),
        score_(score::bind(call.score, call.shape, task.b, task.h)),
        q_(call.q.matrix(task.b, task.h).data),
        k_(call.k.matrix(task.b, task.h / call.shape.group()).data),
        v_(call.v.matrix(task.b, task.h / call.shape.group()).data) {}

  // A value that is NaN or infinite leaves no finite sum behind, masked or not: then once more,
  // leaving out what is masked. Sums of values near the largest number overflow where their mean
  // does not: then a third time, with weights so small, by a power of 2, that they don't.
  HEED_GPU void run_task() {
    State state;
    bool careful = false;
#pragma unroll 1
    for (;;) {
      attend(state, careful);
      if (shrink_ != R(1) || !ptx::barrier_or(!finite(state))) break;
      for (Index keys = careful ? 2 * call_.shape.Lk : 0; keys > 0; keys /= 2) shrink_ /= 2;
      careful = true;
    }
    finish(state);
  }

  HEED_GPU void attend(State& state, bool careful) {
#pragma unroll
    for (int r = 0; r < per; ++r) {
#pragma unroll
      for (R& x : state.out[r]) x = 0;
      state.max[r] = mask_if(true, R(0));
      state.sum[r] = 0;
    }
    const auto tiles =
        static_cast<int>((call_.shape.Lk + KernelTraits::keys - 1) / KernelTraits::keys);
    const int q_end =
        smaller(task_.q_begin + KernelTraits::queries, static_cast<int>(call_.shape.Lq));
    for (int first = 0; first < tiles; first += KvTileIterator<KernelTraits>::span) {
      kv_tiles_.load(mask_, task_.q_begin, q_end, first, call_.shape.Lk);
      for (int n = kv_tiles_.next(0); n < KvTileIterator<KernelTraits>::span;
           n = kv_tiles_.next(n + 1)) {
        attend_to_tile(state, (first + n) * KernelTraits::keys, kv_tiles_.full(n), careful);
      }
    }
  }

  HEED_GPU void attend_to_tile(State& state, int k_begin, bool full, bool careful) {
    Scores scores;
    dots(scores, k_begin);
    modify_and_mask(scores, k_begin, full);
    weigh(state, scores, k_begin, careful);
    load<KernelTraits::keys, KernelTraits::width>(KernelTraits::v_at, KernelTraits::width, v_,
                                                  call_.v, k_begin, task_.v_begin);
    ptx::barrier();
    careful ? add_seen_values(state) : add_values(state);
  }

  // scores = q · kᵀ, `depth` dimensions at a time.
  HEED_GPU void dots(Scores& scores, int k_begin) {
#pragma unroll
    for (int r = 0; r < per; ++r) {
#pragma unroll
      for (R& s : scores[r]) s = 0;
    }
#pragma unroll 1
    for (int d = 0; d < static_cast<int>(call_.shape.D); d += KernelTraits::depth) {
      ptx::barrier();  // the pieces before have been read
      load<KernelTraits::queries, KernelTraits::depth>(KernelTraits::q_at, KernelTraits::dot_row,
                                                       q_, call_.q, task_.q_begin, d);
      load<KernelTraits::keys, KernelTraits::depth>(KernelTraits::k_at, KernelTraits::dot_row, k_,
                                                    call_.k, k_begin, d);
      ptx::barrier();
      add_dots(scores);
    }
  }

  HEED_GPU void add_dots(Scores& scores) {
    using Piece = Lane16<R>;
#pragma unroll 1
    for (int d = 0; d < KernelTraits::depth; d += Piece::count) {
      EachRow<Piece> q;
      EachRow<Piece> k;
#pragma unroll
      for (int r = 0; r < per; ++r) {
        q[r] = ptx::load_shared<Piece>(KernelTraits::q_at +
                                       KernelTraits::bytes(row(r) * KernelTraits::dot_row + d));
        k[r] = ptx::load_shared<Piece>(KernelTraits::k_at +
                                       KernelTraits::bytes(column(r) * KernelTraits::dot_row + d));
      }
#pragma unroll
      for (int n = 0; n < Piece::count; ++n) {
#pragma unroll
        for (int r = 0; r < per; ++r) {
#pragma unroll
          for (int c = 0; c < per; ++c) scores[r][c] += q[r].x[n] * k[c].x[n];
        }
      }
    }
  }

  HEED_GPU void modify_and_mask(Scores& scores, int k_begin, bool full) {
    const int last_query = static_cast<int>(call_.shape.Lq) - 1;
    const int last_key = static_cast<int>(call_.shape.Lk) - 1;
    const std::uint32_t seen = full ? ~0u : allowed(k_begin);
#pragma unroll
    for (int r = 0; r < per; ++r) {
#pragma unroll
      for (int c = 0; c < per; ++c) {
        R& s = scores[r][c];
        s = static_cast<R>(score_.value(call_.scale * s, smaller(query(r), last_query),
                                        smaller(k_begin + column(c), last_key)));
        s = mask_if((seen >> (per * r + c) & 1u) == 0, s);
      }
    }
  }

  HEED_GPU std::uint32_t allowed(int k_begin) {
    std::uint32_t bits = 0;
#pragma unroll 1
    for (int n = 0; n < per * per; ++n) {
      const int i = query(n / per);
      const int j = k_begin + column(n % per);
      const bool allows = i < call_.shape.Lq && j < call_.shape.Lk && mask_.allows(i, j);
      bits |= (allows ? 1u : 0u) << n;
    }
    return bits;
  }

  HEED_GPU std::uint32_t kept(int k_begin) {
    std::uint32_t bits = 0;
#pragma unroll 1
    for (int n = 0; n < per * per; ++n) {
      const auto i = static_cast<std::uint32_t>(query(n / per));
      const auto j = static_cast<std::uint32_t>(k_begin + column(n % per));
      const Words4 words = philox(
          call_.dropout.seed,
          {j / 4, i, static_cast<std::uint32_t>(task_.h), static_cast<std::uint32_t>(task_.b)});
      // Not words[j % 4], which would put them in memory.
      const std::uint32_t word =
          j % 4 < 2 ? (j % 2 == 0 ? words[0] : words[1]) : (j % 2 == 0 ? words[2] : words[3]);
      bits |= (word >= call_.dropout.threshold ? 1u : 0u) << n;
    }
    return bits;
  }

  // Scores become weights in shared memory; −1 stands there for a masked one, if `careful`.
  HEED_GPU void weigh(State& state, Scores& scores, int k_begin, bool careful) {
    const std::uint32_t keeps = call_.dropout.active() ? kept(k_begin) : ~0u;
#pragma unroll
    for (int r = 0; r < per; ++r) {
      R most = state.max[r];
#pragma unroll
      for (int c = 0; c < per; ++c) most = larger(most, scores[r][c]);
#pragma unroll
      for (int lanes = 1; lanes < 16; lanes *= 2)
        most = larger(most, ptx::shuffle_xor(most, lanes));
      const R base = is_masked(most) ? R(0) : most;
      const R shrink = most == state.max[r] ? R(1) : std::exp(state.max[r] - base);
      R sum = 0;
#pragma unroll
      for (int c = 0; c < per; ++c) {
        const bool masked = is_masked(scores[r][c]);
        R p = masked ? R(0) : std::exp(scores[r][c] - base);
        sum += p;
        if ((keeps >> (per * r + c) & 1u) == 0) p = 0;
        ptx::store_shared(
            KernelTraits::p_at + KernelTraits::bytes(row(r) * KernelTraits::weight_row + column(c)),
            careful && masked ? R(-1) : p * shrink_);
      }
      state.sum[r] = state.sum[r] * shrink + sum;
      state.max[r] = most;
#pragma unroll
      for (R& x : state.out[r]) x *= shrink;
    }
  }

  HEED_GPU void add_values(State& state) {
    using Piece = Lane16<R>;
    constexpr int n = Piece::count;
#pragma unroll 1
    for (int key = 0; key < KernelTraits::keys; key += n) {
      EachRow<Piece> p;
#pragma unroll
      for (int r = 0; r < per; ++r) {
        p[r] = ptx::load_shared<Piece>(
            KernelTraits::p_at + KernelTraits::bytes(row(r) * KernelTraits::weight_row + key));
      }
#pragma unroll
      for (int k = 0; k < n; ++k) {
#pragma unroll
        for (int c = 0; c < values; c += n) {
          const auto v = ptx::load_shared<Piece>(
              KernelTraits::v_at +
              KernelTraits::bytes((key + k) * KernelTraits::width + value_column(c)));
#pragma unroll
          for (int r = 0; r < per; ++r) {
#pragma unroll
            for (int e = 0; e < n; ++e) state.out[r][c + e] += p[r].x[k] * v.x[e];
          }
        }
      }
    }
  }

  HEED_GPU void add_seen_values(State& state) {
#pragma unroll 1
    for (int key = 0; key < KernelTraits::keys; ++key) {
#pragma unroll
      for (int r = 0; r < per; ++r) {
        const R p = ptx::load_shared<R>(
            KernelTraits::p_at + KernelTraits::bytes(row(r) * KernelTraits::weight_row + key));
        if (p == R(-1)) continue;
#pragma unroll
        for (int c = 0; c < values; ++c) {
          state.out[r][c] +=
              p *
              ptx::load_shared<R>(KernelTraits::v_at +
                                  KernelTraits::bytes(key * KernelTraits::width + value_column(c)));
        }
      }
    }
  }

  // shared[r][c] = x(row_begin + r, column_begin + c), zero outside x.
  template <int Rows, int Columns>
  HEED_GPU static void load(ptx::Shared to, int stride, const R* data, const View<const R, 4>& x,
                            int row_begin, int column_begin) {
    constexpr int rows_at_once = KernelTraits::threads / Columns;
    int r = ptx::thread() / Columns;
    const int c = ptx::thread() % Columns;
    const int rows = column_begin + c < x.extent[3] ? static_cast<int>(x.extent[2]) - row_begin : 0;
    const R* from = data + (row_begin + static_cast<Index>(r)) * x.stride[2] +
                    (column_begin + static_cast<Index>(c)) * x.stride[3];
#pragma unroll 2
    for (; r < Rows; r += rows_at_once, from += rows_at_once * x.stride[2]) {
      ptx::store_shared(to + KernelTraits::bytes(r * stride + c),
                        r < rows ? ptx::load_global(from) : R(0));
    }
  }

  HEED_GPU static bool finite(const State& state) {
    bool all = true;
#pragma unroll
    for (int r = 0; r < per; ++r) {
#pragma unroll
      for (const R x : state.out[r]) all = all && is_finite(x);
    }
    return all;
  }

  HEED_GPU void finish(State& state) {
    const R keep_scale = call_.dropout.active() ? static_cast<R>(call_.dropout.keep_scale) : R(1);
#pragma unroll
    for (int r = 0; r < per; ++r) {
      R sum = state.sum[r];
#pragma unroll
      for (int lanes = 1; lanes < 16; lanes *= 2) sum += ptx::shuffle_xor(sum, lanes);
      const int i = query(r);
      if (i >= call_.shape.Lq) continue;
      const bool fully_masked = sum == R(0);
#pragma unroll
      for (int c = 0; c < values; ++c) {
        const Index d = task_.v_begin + value_column(c);
        if (d >= call_.shape.Dv) continue;
        ptx::store_global(&call_.out(task_.b, task_.h, i, d),
                          fully_masked ? R(0) : mean(state.out[r][c], sum) * keep_scale);
      }
      if (call_.lse.data != nullptr && task_.v_begin == 0 && ptx::thread() % 16 == 0) {
        ptx::store_global(&call_.lse(task_.b, task_.h, i),
                          mask_if(fully_masked, state.max[r] + std::log(sum)));
      }
    }
  }

  // A mean of finite values is finite: rounding alone does not make it infinite.
  HEED_GPU R mean(R weighted, R sum) const {
    const R x = weighted / sum / shrink_;
    const bool rounded = shrink_ != R(1) && !is_finite(x) && is_finite(weighted) && !is_nan(x);
    return rounded ? std::copysign(largest_value, weighted) : x;
  }

  HEED_GPU static int smaller(int a, int b) { return a < b ? a : b; }
  HEED_GPU static R larger(R a, R b) { return b > a ? b : a; }  // NaN raises nothing

  // A thread's rows lie side by side; its keys, 16 apart: neighbours read neighbouring rows of k.
  HEED_GPU static int row(int r) { return ptx::thread() / 16 * per + r; }
  HEED_GPU static int column(int c) { return ptx::thread() % 16 + 16 * c; }
  // Column c of a thread, c counting in whole loads.
  HEED_GPU static int value_column(int c) {
    constexpr int n = Lane16<R>::count;
    return (ptx::thread() % 16 + c / n * 16) * n + c % n;
  }
  HEED_GPU int query(int r) const { return task_.q_begin + row(r); }

  const Call& call_;
  Task task_;
  BoundMask mask_;
  BoundScore score_;
  const R *q_, *k_, *v_;  // of this head
  KvTileIterator<KernelTraits> kv_tiles_;
  R shrink_ = 1;  // of weights, before values are added
};

inline namespace HEED_ABI {

// visit(SimtTraits): double at most 64 dimensions of a value, whose tile must fit shared memory.
template <class R, class Visit>
void with_plain_cut(Index Dv, const Visit& visit) {
  if constexpr (sizeof(R) == 4) {
    if (Dv > 64) return visit(SimtTraits<R, 128>{});
  }
  visit(SimtTraits<R, 64>{});
}

}  // namespace HEED_ABI
}  // namespace heed::cuda
