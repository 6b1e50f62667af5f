// out_i = Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j) over the prefix of the keys that query i sees,
// in O(L·F·(D + Dv)): what linear attention and Performers share.
//
// Every span of keys is summed apart, the sums are added up in ascending order, and queries go on,
// chunk by chunk, from the sum before them. One worker does all of that in one pass over the keys
// of a head; several that share a head take three passes, each parallel. Bits depend on lengths and
// sizes alone. Katharopoulos et al. (2020), section 3.
#pragma once

#include <algorithm>
#include <optional>

#include "heed/approx/linear/scan_queries.hpp"
#include "heed/approx/linear/scan_state.hpp"
#include "heed/attention/problem.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// One call, and one worker's memory for it.
template <class T, class Map>
struct ScanWork {
  using R = Accum<T>;

  const Problem<T>& problem;
  const Map& map;
  const mask::KeyLimit* visible;  // [B]
  const ScanCall<T>& plan;
  const KvStates<R>* states;  // none where heads are not divided
  ScanScratch<R> scratch;

  ScanKeys<T, Map> keys_of(Index head) const {
    const Index b = head / problem.shape.Hkv, h = head % problem.shape.Hkv;
    return {plan, map, problem.k.matrix(b, h), problem.v.matrix(b, h), scratch};
  }
  const mask::KeyLimit& key_limit_of(Index head) const { return visible[head / problem.shape.Hkv]; }
};

// Pass 1: the sum of one span's keys, by itself.
template <class T, class Map>
void sum_span(const ScanWork<T, Map>& work, Index head, Index span) {
  using R = Accum<T>;
  KvState<R> state = work.states->get(head, span + 1);
  state.exponent = no_exponent<R>;
  std::fill_n(state.sum, work.plan.state(), R(0));
  const Index last = std::min((span + 1) * ScanPlan::span, work.key_limit_of(head).length);
  auto keys = work.keys_of(head);
  for (Index j = span * ScanPlan::span; j < last; j += ScanPlan::chunk) {
    keys.load(j, std::min(j + ScanPlan::chunk, last));
    keys.absorb_into(state);
  }
  work.states->set_exponent(head, span + 1, state.exponent);
}

// Pass 2: sums of spans become sums of all keys before them.
template <class R>
void add_up_spans(const ScanPlan& plan, const KvStates<R>& states, Index head) {
  std::fill_n(states.get(head, 0).sum, plan.state(), R(0));
  states.set_exponent(head, 0, no_exponent<R>);
  for (Index n = 1; n <= plan.spans; ++n) {
    KvState<R> state = states.get(head, n);
    merge_into(plan, state, states.get(head, n - 1));
    states.set_exponent(head, n, state.exponent);
  }
}

// Queries [i, end) of all heads that share a key head, against the sum of all keys before them and,
// under the mask, the chunk of keys that is their own.
template <class T, class Map>
void attend_queries(const ScanWork<T, Map>& work, Index head, Index i, Index end, Accum<T> exponent,
                    const ScanKeys<T, Map>* own) {
  const Problem<T>& problem = work.problem;
  const Shape& shape = problem.shape;
  ScanQueries<T, Map> queries(work.plan, work.map, work.scratch);
  for (Index g = 0; g < shape.group(); ++g) {
    const Index b = head / shape.Hkv, h = head % shape.Hkv * shape.group() + g;
    queries.load(problem.q.matrix(b, h), work.key_limit_of(head), i, end);
    queries.find_running_max(exponent, own);
    if (own != nullptr) queries.attend_chunk(*own);
    queries.attend_state(exponent);
    View<Accum<T>, 1> lse{nullptr, {shape.Lq}, {1}};
    if (problem.lse.data != nullptr) {
      lse.data = &problem.lse(b, h, 0);
      lse.stride[0] = problem.lse.stride[2];
    }
    queries.write(problem.out.matrix(b, h), lse);
  }
}

// Pass 3: a run of queries, chunk by chunk.
template <class T, class Map>
void attend_block(const ScanWork<T, Map>& work, Index head, const QueryRange& block) {
  constexpr Index chunk = ScanPlan::chunk;
  const mask::KeyLimit visible = work.key_limit_of(head);
  auto keys = work.keys_of(head);
  RunningState<T, Map> state(work.plan, work.scratch, work.states, head);
  for (Index i = block.begin, end = i; i < block.end; i = end) {
    const Index seen = visible.keys(i);
    const bool whole = seen == 0 || seen == visible.length;
    const Index before = whole ? seen : (seen - 1) / chunk * chunk;
    const Index most = whole ? seen : std::min(before + chunk, visible.length);
    while (end < block.end && end - i < chunk && visible.keys(end) <= most) ++end;
    state.advance(before, visible.length, keys);
    if (!whole) keys.load(before, most);
    attend_queries(work, head, i, end, state.exponent(), whole ? nullptr : &keys);
  }
}

// The three passes over heads that are divided into spans of keys and blocks of queries.
// work_of(worker) is a ScanWork.
template <class T, class WorkOf>
void attend_divided(const Problem<T>& problem, const ScanCall<T>& plan,
                    const mask::KeyLimit* visible, const KvStates<Accum<T>>& states, int workers,
                    Executor* executor, const WorkOf& work_of) {
  const Shape& shape = problem.shape;
  const Index heads = shape.B * shape.Hkv;
  parallel_for(heads * plan.spans, workers, executor, [&](Index task, int worker) {
    sum_span(work_of(worker), task / plan.spans, task % plan.spans);
  });
  parallel_for(heads, workers, executor,
               [&](Index head, int) { add_up_spans(plan, states, head); });
  parallel_for(heads * plan.blocks, workers, executor, [&](Index task, int worker) {
    const Index head = task / plan.blocks, block = plan.blocks - 1 - task % plan.blocks;
    attend_block(work_of(worker), head, query_range(visible[head / shape.Hkv], shape.Lq, block));
  });
}

// All of a call: problem.out, and problem.lse where it has data. `map` gives `features` numbers for
// a row; visible [B].
//
// Where heads alone keep the workers busy, each goes through its keys once. Otherwise spans and
// blocks of a head are tasks too, and causal calls read the keys twice.
//
// Time O(B·(Hq·Lq + Hkv·Lk)·F·(D + Dv)); scratch O(threads·F·Dv), and of O(B·Hkv·Lk / 1024·F·Dv)
// where heads are divided.
template <class T, class Map>
void scan_attention(const Problem<T>& problem, const Map& map, Index features,
                    const mask::KeyLimit* visible, int threads, Executor* executor) {
  using R = Accum<T>;
  const Shape& shape = problem.shape;
  const Index heads = shape.Hq == 0 ? 0 : checked_product(shape.B, shape.Hkv);
  const CallKernels<T> kernels = call_kernels<T>(isa());
  const ScanCall<T> plan{scan_plan(shape, kernels.of_sums.tile_shape, features), kernels};
  int workers = worker_count(heads * std::max(plan.spans, plan.blocks), threads, executor);
  const bool divided = divides_heads(plan, heads, workers);
  if (!divided) workers = worker_count(heads, threads, executor);
  Carver one(nullptr), all(nullptr);
  ScanScratch<R>::carve(one, plan, map.scratch(plan));
  if (divided) KvStates<R>(all, plan, heads);
  const Index bytes = static_cast<Index>(one.used());
  const Scratch memory(static_cast<std::size_t>(checked_sum(static_cast<Index>(all.used()),
                                                            checked_product(bytes, workers))),
                       {});
  Carver carver(memory.begin());
  std::optional<KvStates<R>> states;
  if (divided) states.emplace(carver, plan, heads);
  const auto work_of = [&](int worker) {
    Carver own(memory.begin() + all.used() + worker * bytes);
    ScanWork<T, Map> work{problem,
                          map,
                          visible,
                          plan,
                          states ? &*states : nullptr,
                          ScanScratch<R>::carve(own, plan, map.scratch(plan))};
    work.scratch.clear(plan);
    return work;
  };
  if (states) {
    attend_divided(problem, plan, visible, *states, workers, executor, work_of);
  } else {
    parallel_for(heads, workers, executor, [&](Index head, int worker) {
      attend_block(work_of(worker), head, {0, shape.Lq});
    });
  }
}

}  // namespace HEED_ABI
}  // namespace heed::approx
