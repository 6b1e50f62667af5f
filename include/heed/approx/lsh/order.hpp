// Keys of each head sorted by bucket, and the queries that meet them, for all rounds of a call.
#pragma once

#include <vector>

#include "heed/approx/lsh/buckets.hpp"
#include "heed/approx/lsh/head_rows.hpp"
#include "heed/approx/options.hpp"
#include "heed/attention/problem.hpp"
#include "heed/core/parallel.hpp"
#include "heed/core/zeros.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

constexpr std::size_t size_of(Index count) { return static_cast<std::size_t>(count); }

// The operands of a call; problem.k and problem.v are not looked at.
template <class T, class K>
struct LshCall {
  using U = kv::ElementOf<K, T>;

  const Problem<T>& problem;
  const K& source;  // of keys and values
  CallKernels<T> kernels;
  CallKernels<U> source_kernels;
  const LshOptions& hashing;
  std::vector<mask::KeyLimit> visible;  // [B]
  const RunOptions& options;

  // `each` rounds or chunks of all heads. Throws heed::Error where they do not fit 64 bits.
  Index tasks(Index heads, Index each) const {
    return checked_product(checked_product(problem.shape.B, heads), each);
  }
  auto head_rows(Index b, Index kv_head) const {
    auto bound = source.bind(problem.shape, b, kv_head);
    return HeadRows<U, decltype(bound)>{bound, problem.shape.D, problem.shape.Dv, source_kernels};
  }
  int workers(Index tasks) const { return worker_count(tasks, options.threads, options.executor); }
  template <class F>
  void for_each(Index tasks, F&& f) const {
    parallel_for(tasks, workers(tasks), options.executor, f);
  }
};

struct LshOrder {
  std::vector<SortedKeys> keys;          // [B·Hkv, rounds]
  std::vector<BucketedQueries> queries;  // [B·Hq, rounds]
};

// The directions of each round, [rounds].
template <class R>
std::vector<std::vector<R>> random_rotations(const LshOptions& hashing, Index D) {
  std::vector<std::vector<R>> rotations;
  for (Index round = 0; round < hashing.rounds; ++round) {
    rotations.push_back(random_rotation<R>(hashing.buckets, D, hashing.seed, round));
  }
  return rotations;
}

// A task is a round of a key head.
template <class T, class K, class R>
std::vector<SortedKeys> sort_all_keys(const LshCall<T, K>& call,
                                      const std::vector<std::vector<R>>& rotations) {
  const Shape& s = call.problem.shape;
  const Index rounds = call.hashing.rounds, tasks = call.tasks(s.Hkv, rounds);
  auto sorted = zeros<SortedKeys>(tasks);
  call.for_each(tasks, [&](Index task, int) {
    const Index b = task / rounds / s.Hkv;
    const auto kv = call.head_rows(b, task / rounds % s.Hkv);
    const auto copy = [&](Index first, Index count, R* to) {
      kv.copy_keys(first, first + count, to);
    };
    const std::vector<int> buckets =
        buckets_of(call.source.length(b), s.D, rotations[size_of(task % rounds)], copy);
    sorted[size_of(task)] =
        sort_keys(buckets, call.visible[size_of(b)].length, call.hashing.buckets);
  });
  return sorted;
}

// A task is a round of a query head.
template <class T, class K, class R>
std::vector<BucketedQueries> assign_all_queries(const LshCall<T, K>& call,
                                                const std::vector<std::vector<R>>& rotations,
                                                const std::vector<SortedKeys>& keys) {
  const Shape& s = call.problem.shape;
  const Index rounds = call.hashing.rounds, tasks = call.tasks(s.Hq, rounds);
  auto assigned = zeros<BucketedQueries>(tasks);
  call.for_each(tasks, [&](Index task, int) {
    const Index round = task % rounds, b = task / rounds / s.Hq, h = task / rounds % s.Hq;
    const Index of_keys = (b * s.Hkv + h / s.group()) * rounds + round;
    assigned[size_of(task)] = assign_to_chunks(
        buckets_of(call.problem.q.matrix(b, h), rotations[size_of(round)], call.kernels),
        keys[size_of(of_keys)], call.visible[size_of(b)],
        kv::shape_of_entry(call.source, s, b).keys(), call.hashing.chunk);
  });
  return assigned;
}

template <class T, class K>
LshOrder order_by_bucket(const LshCall<T, K>& call) {
  const auto rotations = random_rotations<Accum<T>>(call.hashing, call.problem.shape.D);
  LshOrder order{sort_all_keys(call, rotations), {}};
  order.queries = assign_all_queries(call, rotations, order.keys);
  return order;
}

}  // namespace HEED_ABI
}  // namespace heed::approx
