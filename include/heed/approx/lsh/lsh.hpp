// Attention between queries and keys that hash to the same bucket: Reformer's.
// Kitaev et al., "Reformer: The Efficient Transformer" (2020).
#pragma once

#include <vector>

#include "heed/approx/lsh/chunk.hpp"
#include "heed/approx/options.hpp"
#include "heed/approx/results.hpp"
#include "heed/attention/operands.hpp"
#include "heed/core/zeros.hpp"
#include "heed/kv/dense.hpp"

namespace heed::approx {

inline namespace HEED_ABI {

// Sorted keys [B·Hkv, rounds] and bucketed queries [B·Hq, rounds].
struct LshOrder {
  std::vector<SortedKeys> keys;
  std::vector<BucketedQueries> queries;
};

// Throws heed::Error for what the method refuses; fills in the number of buckets.
inline Hashing checked_hashing(const char* call, Hashing hashing, Index Lk) {
  constexpr Index most = Index{1} << 20;
  if (hashing.rounds < 1 || hashing.rounds > most) {
    refuse({call, ": rounds ", hashing.rounds, " is outside 1 … 2^20"});
  }
  if (hashing.chunk < 1 || hashing.chunk > most) {
    refuse({call, ": chunk ", hashing.chunk, " is outside 1 … 2^20"});
  }
  if (hashing.buckets == 0) hashing.buckets = std::max<Index>(2, Lk / hashing.chunk / 2 * 2);
  if (hashing.buckets < 0 || hashing.buckets % 2 != 0 || hashing.buckets > max_length) {
    refuse({call, ": buckets ", hashing.buckets,
            " is not positive and even: a direction is two, to and fro"});
  }
  return hashing;
}

// out and lse from the running softmax of every row, [B, Hq, Lq].
template <class T, class R>
void write_lsh(const Problem<T>& problem, Index columns, const R* acc, const R* max, const R* sum) {
  const Shape& s = problem.shape;
  for (Index row = 0; row < s.B * s.Hq * s.Lq; ++row) {
    const Index b = row / s.Lq / s.Hq, h = row / s.Lq % s.Hq, i = row % s.Lq;
    const softmax::Row<R> state{max[row], sum[row]};
    const R factor = state.fully_masked() ? R(0) : R(1) / state.sum;
    for (Index d = 0; d < s.Dv; ++d) {
      problem.out(b, h, i, d) = static_cast<T>(acc[row * columns + d] * factor);
    }
    problem.lse(b, h, i) = state.lse();
  }
}

constexpr std::size_t size_of(Index count) { return static_cast<std::size_t>(count); }

// Heads of a batch times rounds, or chunks. Throws heed::Error where it does not fit 64 bits.
inline Index tasks_of(Index B, Index heads, Index each) {
  return checked_product(checked_product(B, heads), each);
}

inline int workers_of(Index tasks, const RunOptions& options) {
  return worker_count(tasks, options.threads, options.executor);
}

// Every head's keys sorted by bucket, and which of them each query is to meet; round after round.
template <class T, class K>
LshOrder order_by_bucket(const Problem<T>& problem, const K& source, const Hashing& hashing,
                         const std::vector<mask::KeyLimit>& visible, const RunOptions& options) {
  const Shape& s = problem.shape;
  const Index rounds = hashing.rounds;
  const Index key_tasks = tasks_of(s.B, s.Hkv, rounds), query_tasks = tasks_of(s.B, s.Hq, rounds);
  std::vector<std::vector<Accum<T>>> rotations;
  for (Index round = 0; round < rounds; ++round) {
    rotations.push_back(random_rotation<Accum<T>>(hashing.buckets, s.D, hashing.seed, round));
  }
  LshOrder order{zeros<SortedKeys>(key_tasks), zeros<BucketedQueries>(query_tasks)};
  parallel_for(key_tasks, workers_of(key_tasks, options), options.executor, [&](Index task, int) {
    const Index round = task % rounds, b = task / rounds / s.Hkv;
    const auto kv = head_rows<T>(source, s, b, task / rounds % s.Hkv);
    const auto copy = [&](Index first, Index count, Accum<T>* to) {
      kv.copy_keys(first, first + count, to);
    };
    order.keys[size_of(task)] =
        sort_keys(buckets_of(source.length(b), s.D, rotations[size_of(round)], copy),
                  visible[size_of(b)].length, hashing.buckets);
  });
  parallel_for(
      query_tasks, workers_of(query_tasks, options), options.executor, [&](Index task, int) {
        const Index round = task % rounds, b = task / rounds / s.Hq;
        const Index h = task / rounds % s.Hq;
        const Index of_keys = (b * s.Hkv + h / s.group()) * rounds + round;
        order.queries[size_of(task)] =
            assign_to_chunks(buckets_of(problem.q.matrix(b, h), rotations[size_of(round)]),
                             order.keys[size_of(of_keys)], visible[size_of(b)],
                             s.Lk - kv::shape_of_entry(source, s, b).missing, hashing.chunk);
      });
  return order;
}

// All rounds of all heads of a checked problem whose out and lse are set.
//   source  of keys and values; problem.k and problem.v are not looked at
template <class T, class K, class M>
void run_lsh(const Problem<T>& problem, const K& source, const Hashing& hashing, const M& mask,
             bool shared, const RunOptions& options) {
  using R = Accum<T>;
  const Shape& s = problem.shape;
  const CallKernels<T> kernels = call_kernels<T>(isa());
  const simd::TileShape& tile_shape = kernels.of_sums.tile_shape;
  const Index columns = tile_shape.columns(s.Dv), rounds = hashing.rounds;
  const Index heads = checked_product(s.B, s.Hq), rows = checked_product(heads, s.Lq);
  const Index chunks = (s.Lk + hashing.chunk - 1) / hashing.chunk;
  const Index tasks = checked_product(heads, chunks);
  const std::vector<mask::KeyLimit> visible = mask::key_limits_of(mask, s.B, [&](Index b) {
    Shape own = kv::shape_of_entry(source, s, b);
    own.missing = s.Lk - source.length(b);
    return own;
  });
  const LshOrder order = order_by_bucket(problem, source, hashing, visible, options);
  auto acc = zeros<R>(checked_product(rows, columns));
  auto max = zeros<R>(rows), sum = zeros<R>(rows);
  std::fill(max.begin(), max.end(), softmax::Row<R>{}.max);
  const auto head_at = [&](Index head) {
    const Index b = head / s.Hq, h = head % s.Hq, kv_head = h / s.group();
    auto kv = head_rows<T>(source, s, b, kv_head);
    return LshHead<T, decltype(kv)>{problem.q.matrix(b, h),
                                    kv,
                                    shared,
                                    static_cast<R>(problem.scale),
                                    visible[size_of(b)],
                                    &order.keys[size_of((b * s.Hkv + kv_head) * rounds)],
                                    &order.queries[size_of(head * rounds)],
                                    acc.data() + head * s.Lq * columns,
                                    max.data() + head * s.Lq,
                                    sum.data() + head * s.Lq};
  };
  const int count = workers_of(tasks, options);
  Carver counter(nullptr);
  LshScratch<R>::carve(counter, tile_shape, s, hashing);
  const Scratch memory(counter.used() * size_of(count), {});
  for (int round = 0; round < rounds; ++round) {  // chunks of a round share no query
    parallel_for(tasks, count, options.executor, [&](Index task, int worker) {
      Carver carver(memory.begin() + counter.used() * size_of(worker));
      const auto scratch = LshScratch<R>::carve(carver, tile_shape, s, hashing);
      std::fill_n(scratch.coverage, LshScratch<R>::rows * scratch.capacity / tile_shape.nr,
                  std::uint8_t{1});
      const auto head = head_at(task / chunks);
      LshChunk(head, kernels, scratch, hashing.chunk, round).attend(task % chunks);
    });
  }
  write_lsh(problem, columns, acc.data(), max.data(), sum.data());
}

template <class M>
consteval void check_lsh_mask() {
  static_assert(mask::is_prefix_mask<M>,
                "heed::approx::lsh: the mask can be mask::causal(), mask::padding(lengths) or both "
                "with &");
}

// The common part of lsh and lsh_shared.
template <class Q, class K, class V, class M>
requires RightTypes<Q, K, V, M>
auto call_lsh(const char* call, const Q& q, const K& k, const V& v, const Hashing& wanted,
              const M& mask, bool shared, const Options& options) {
  using T = ScalarOf<Q>;
  check_lsh_mask<M>();
  const heed::Options common = options.common();
  const Shape shape = check_call(call, q, k, v, mask, score::None{}, common);
  const Hashing hashing = checked_hashing(call, wanted, shape.Lk);
  auto problem = make_problem(q, k, v, shape, common);
  auto result = result_for(q, problem);
  if (has_no_rows(shape)) return result;
  run_lsh(problem, kv::Dense<T>{problem.k, problem.v}, hashing, mask, shared,
          {options.threads, options.executor});
  return result;
}

// Softmax attention in which each query sees only keys of its own hash bucket: in each round those
// in the chunk of sorted keys that it falls into and in the chunk before. What several rounds find
// counts once, as equation 7 of the paper wants.
//
//   q     [B, Hq,  Lq, D]     any tensor that attention takes; Hq % Hkv == 0
//   k     [B, Hkv, Lk, D]
//   v     [B, Hkv, Lk, Dv]
//   mask  none, mask::causal(…), mask::padding(…), or causal & padding
//
// Returns {out, lse} over the keys found: exp(lse − exact lse) is the share of the softmax that
// they hold; a row for which nothing is found is 0, its lse −inf. Queries and keys should lie near
// each other (lsh_shared makes sure). Which keys share a chunk depends on all keys of a text:
// causal rows depend in that way on later ones. Throws heed::Error as attention does, for rounds or
// a chunk below 1 and for buckets that are negative or odd.
//
// Time O(rounds·(Lq + Lk)·(buckets + chunk)·D); scratch O(rounds·(Lq + Lk) + Lq·Dv).
template <class Q, class K, class V, class M = mask::None>
requires(!kv::HasExtents<K>) auto lsh(const Q& q, const K& k, const V& v,
                                      const Hashing& hashing = {}, const M& mask = {},
                                      const Options& options = {}) {
  return call_lsh("heed::approx::lsh", q, k, v, hashing, mask, false, options);
}

// The same where queries are keys too, as Reformer has it: keys are qk divided by their length, and
// a token sees itself only where it sees nothing else (its own score is −1e5).
//
//   qk  [B, H, L, D]   v  [B, H, L, Dv]
template <class Q, class V, class M = mask::None>
auto lsh_shared(const Q& qk, const V& v, const Hashing& hashing = {}, const M& mask = {},
                const Options& options = {}) {
  return call_lsh("heed::approx::lsh_shared", qk, qk, v, hashing, mask, true, options);
}

}  // namespace HEED_ABI
}  // namespace heed::approx
