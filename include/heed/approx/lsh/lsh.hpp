// Attention between queries and keys that hash to the same bucket: Reformer's.
// Kitaev et al., "Reformer: The Efficient Transformer" (2020).
#pragma once

#include <vector>

#include "heed/approx/lsh/chunk.hpp"
#include "heed/approx/lsh/order.hpp"
#include "heed/approx/results.hpp"
#include "heed/attention/operands.hpp"
#include "heed/core/zeros.hpp"
#include "heed/kv/dense.hpp"

namespace heed::approx {

inline namespace HEED_ABI {

// Throws heed::Error for what the method refuses; fills in the number of buckets.
inline LshOptions checked_hashing(const char* call, LshOptions hashing, Index Lk) {
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

// The running softmax of every row of a call, [B, Hq, Lq].
template <class R>
struct LshStates {
  Index columns;  // of a row of acc
  std::vector<R> acc, max, sum;

  LshStates(Index rows, Index row_columns)
      : columns(row_columns),
        acc(zeros<R>(checked_product(rows, row_columns))),
        max(size_of(rows), softmax::Row<R>{}.max),
        sum(zeros<R>(rows)) {}
};

// out and lse of all rows.
template <class T, class R>
void write_lsh(const Problem<T>& problem, const LshStates<R>& states) {
  const Shape& s = problem.shape;
  const R* acc = states.acc.data();
  for (Index row = 0; row < s.B * s.Hq * s.Lq; ++row, acc += states.columns) {
    const Index b = row / s.Lq / s.Hq, h = row / s.Lq % s.Hq, i = row % s.Lq;
    const softmax::Row<R> state{states.max[size_of(row)], states.sum[size_of(row)]};
    const R factor = state.fully_masked() ? R(0) : R(1) / state.sum;
    for (Index d = 0; d < s.Dv; ++d) problem.out(b, h, i, d) = static_cast<T>(acc[d] * factor);
    problem.lse(b, h, i) = state.lse();
  }
}

// Head `head` of all B·Hq.
template <class T, class K>
auto lsh_head(const LshCall<T, K>& call, const LshOrder& order, LshStates<Accum<T>>& states,
              bool shared, Index head) {
  const Shape& s = call.problem.shape;
  const Index b = head / s.Hq, h = head % s.Hq, kv_head = h / s.group();
  const Index rounds = call.hashing.rounds, first = head * s.Lq;  // row
  auto kv = call.head_rows(b, kv_head);
  return LshHead<T, decltype(kv)>{call.problem.q.matrix(b, h),
                                  kv,
                                  shared,
                                  static_cast<Accum<T>>(call.problem.scale),
                                  call.visible[size_of(b)],
                                  &order.keys[size_of((b * s.Hkv + kv_head) * rounds)],
                                  &order.queries[size_of(head * rounds)],
                                  states.acc.data() + first * states.columns,
                                  states.max.data() + first,
                                  states.sum.data() + first};
}

// All rounds of all heads, chunk by chunk; chunks of a round share no query.
template <class T, class K>
void attend_chunks(const LshCall<T, K>& call, const LshOrder& order, LshStates<Accum<T>>& states,
                   bool shared) {
  using Scratches = LshScratch<Accum<T>>;
  const Shape& s = call.problem.shape;
  const simd::TileShape& tile_shape = call.kernels.of_sums.tile_shape;
  const Index chunks = (s.Lk + call.hashing.chunk - 1) / call.hashing.chunk;
  const Index tasks = call.tasks(s.Hq, chunks);
  Carver counter(nullptr);
  Scratches::carve(counter, tile_shape, s, call.hashing);
  const Scratch memory(counter.used() * size_of(call.workers(tasks)), {});
  for (int round = 0; round < call.hashing.rounds; ++round) {
    call.for_each(tasks, [&](Index task, int worker) {
      Carver carver(memory.begin() + counter.used() * size_of(worker));
      const auto scratch = Scratches::carve(carver, tile_shape, s, call.hashing);
      std::fill_n(scratch.coverage, scratch.tiles(tile_shape), std::uint8_t{1});
      const auto head = lsh_head(call, order, states, shared, task / chunks);
      LshChunk(head, call.kernels, scratch, call.hashing.chunk, round).attend(task % chunks);
    });
  }
}

// All rounds of all heads of a checked problem whose out and lse are set.
//   source  of keys and values; problem.k and problem.v are not looked at
template <class T, class K, class M>
void run_lsh(const Problem<T>& problem, const K& source, const LshOptions& hashing, const M& mask,
             bool shared, const RunOptions& options) {
  using R = Accum<T>;
  const Shape& s = problem.shape;
  const auto shape_of_entry = [&](Index b) {
    Shape own = kv::shape_of_entry(source, s, b);
    own.missing = s.Lk - source.length(b);
    return own;
  };
  const Isa machine = isa();
  const LshCall<T, K> call{problem,
                           source,
                           call_kernels<T>(machine),
                           call_kernels<kv::ElementOf<K, T>>(machine),
                           hashing,
                           mask::key_limits_of(mask, s.B, shape_of_entry),
                           options};
  const LshOrder order = order_by_bucket(call);
  const Index rows = checked_product(checked_product(s.B, s.Hq), s.Lq);
  LshStates<R> states(rows, call.kernels.of_sums.tile_shape.columns(s.Dv));
  attend_chunks(call, order, states, shared);
  write_lsh(problem, states);
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
auto call_lsh(const char* call, const Q& q, const K& k, const V& v, const LshOptions& wanted,
              const M& mask, bool shared, const Options& options) {
  using T = ScalarOf<Q>;
  check_lsh_mask<M>();
  const heed::Options common = options.common();
  const Shape shape = check_call(call, q, k, v, mask, score::None{}, common);
  const LshOptions hashing = checked_hashing(call, wanted, shape.Lk);
  auto problem = make_problem(q, k, v, shape, common);
  auto result = result_for(q, problem);
  if (has_no_rows(shape)) return result;
  run_lsh(problem, kv::Dense<T>{problem.k, problem.v}, hashing, mask, shared,
          {options.threads, options.executor});
  return result;
}

// Softmax attention in which each query sees only keys of its own hash bucket: in each round those
// in the chunk of sorted keys that it falls into and in the chunk before. A key that several rounds
// find counts once, as equation 7 of the paper wants.
//
//   q     [B, Hq,  Lq, D]     any tensor that attention takes; Hq % Hkv == 0
//   k     [B, Hkv, Lk, D]
//   v     [B, Hkv, Lk, Dv]
//   mask  none, mask::causal(…), mask::padding(…), or causal & padding
//
// Returns {out, lse} over the keys found: exp(lse − exact lse) is the share of the softmax that
// they hold; a row for which nothing is found is 0, its lse −inf. Queries and keys should lie near
// each other (lsh_shared makes sure). The keys of a chunk depend on all keys of a text:
// causal rows depend in that way on later ones. Throws heed::Error as attention does, for rounds or
// a chunk below 1 and for buckets that are negative or odd.
//
// Time O(rounds·(Lq + Lk)·(buckets + chunk)·D); scratch O(rounds·(Lq + Lk) + Lq·Dv).
template <class Q, class K, class V, class M = mask::None>
requires(!kv::HasExtents<K>) auto lsh(const Q& q, const K& k, const V& v,
                                      const LshOptions& hashing = {}, const M& mask = {},
                                      const Options& options = {}) {
  return call_lsh("heed::approx::lsh", q, k, v, hashing, mask, false, options);
}

// The same where queries are keys too, as Reformer has it: keys are qk divided by their length, and
// a token sees itself only where it sees nothing else (its own score is −1e5).
//
//   qk  [B, H, L, D]   v  [B, H, L, Dv]
template <class Q, class V, class M = mask::None>
auto lsh_shared(const Q& qk, const V& v, const LshOptions& hashing = {}, const M& mask = {},
                const Options& options = {}) {
  return call_lsh("heed::approx::lsh_shared", qk, qk, v, hashing, mask, true, options);
}

}  // namespace HEED_ABI
}  // namespace heed::approx
