// out_i = Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j) over the prefix of the keys that query i sees,
// in O(L·F·(D + Dv)): what linear attention and Performers share.
//
// Every span of keys is summed apart; the sums are added up in ascending order; then each block of
// queries goes on from the sum before it, chunk by chunk. So all three passes run in parallel, and
// bits depend on lengths and sizes alone. Katharopoulos et al. (2020), section 3.
#pragma once

#include <algorithm>

#include "heed/approx/prefix_queries.hpp"
#include "heed/attention/problem.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// The sums of each key head, [heads, spans + 1]: number n is that of the keys before span n.
template <class R>
struct PrefixStates {
  R* exponents;
  R* sums;
  Index spans, size;

  PrefixStates(Carver& carver, const PrefixPlan& plan, Index heads)
      : exponents(carver.array<R>(checked_product(heads, plan.spans + 1))),
        sums(carver.array<R>(checked_product(heads * (plan.spans + 1), plan.state()))),
        spans(plan.spans),
        size(plan.state()) {}

  PrefixState<R> get(Index head, Index n) const {
    const Index at = head * (spans + 1) + n;
    return {sums + at * size, exponents[at]};
  }
  void set_exponent(Index head, Index n, R exponent) const {
    exponents[head * (spans + 1) + n] = exponent;
  }
};

// One call, and one worker's memory for it.
template <class T, class Map>
struct PrefixWork {
  using R = Accum<T>;

  const Problem<T>& problem;
  const Map& map;
  const Visible* visible;  // [B]
  const PrefixPlan& plan;
  const PrefixStates<R>& states;
  PrefixScratch<R> scratch;

  PrefixKeys<T, Map> keys_of(Index head) const {
    const Index b = head / problem.shape.Hkv, h = head % problem.shape.Hkv;
    return {plan, map, problem.k.matrix(b, h), problem.v.matrix(b, h), scratch};
  }
  const Visible& visible_of(Index head) const { return visible[head / problem.shape.Hkv]; }
};

template <class R>
constexpr R no_exponent = std::numeric_limits<R>::lowest();

// Pass 1: the sum of one span's keys, by itself.
template <class T, class Map>
void sum_span(const PrefixWork<T, Map>& work, Index head, Index span) {
  using R = Accum<T>;
  PrefixState<R> state = work.states.get(head, span + 1);
  state.exponent = no_exponent<R>;
  std::fill_n(state.sum, work.plan.state(), R(0));
  const Index last = std::min((span + 1) * PrefixPlan::span, work.visible_of(head).length);
  auto keys = work.keys_of(head);
  for (Index j = span * PrefixPlan::span; j < last; j += PrefixPlan::chunk) {
    keys.load(j, std::min(j + PrefixPlan::chunk, last));
    keys.absorb_into(state);
  }
  work.states.set_exponent(head, span + 1, state.exponent);
}

// Pass 2: sums of spans become sums of all keys before them.
template <class R>
void add_up_spans(const PrefixPlan& plan, const PrefixStates<R>& states, Index head) {
  std::fill_n(states.get(head, 0).sum, plan.state(), R(0));
  states.set_exponent(head, 0, no_exponent<R>);
  for (Index n = 1; n <= plan.spans; ++n) {
    PrefixState<R> state = states.get(head, n);
    merge_into(plan, state, states.get(head, n - 1));
    states.set_exponent(head, n, state.exponent);
  }
}

// A state in the order of values of a strip: [columns / panel, F, panel].
template <class R>
void show_as_values(const PrefixPlan& plan, const R* sum, R* to) {
  const Index rows = plan.cell.rows, panel = plan.cell.panel;
  for (Index d = 0; d < plan.columns; d += panel) {
    const Index stride = std::min(panel, plan.columns - d);
    for (Index f = 0; f < plan.features; ++f, to += stride) {
      std::copy_n(sum + (f / rows * plan.columns + d) * rows + f % rows * stride, stride, to);
    }
  }
}

// The sum of the keys [0, end()) of a head, on its way from chunk to chunk.
template <class T, class Map>
class RunningState {
 public:
  using R = Accum<T>;

  RunningState(const PrefixWork<T, Map>& work, Index head) : work_(work), head_(head) {}

  R exponent() const { return exponent_; }

  // Goes on to `end`: a whole number of chunks, or all the keys there are. The chunk behind the
  // state may be what `keys` holds already.
  void advance(Index end, Index length, PrefixKeys<T, Map>& keys) {
    if (end == end_) return;
    const Index span = end / PrefixPlan::span;
    const bool all = end == length;
    if (all || end_ < span * PrefixPlan::span) take(all ? work_.plan.spans : span);
    end_ = all ? end : std::max(end_, span * PrefixPlan::span);
    PrefixState<R> state{work_.scratch.sum, exponent_};
    for (; end_ < end; end_ += PrefixPlan::chunk) {
      if (!keys.holds(end_, end_ + PrefixPlan::chunk)) {
        keys.load(end_, end_ + PrefixPlan::chunk);
      }
      keys.absorb_into(state);
    }
    exponent_ = state.exponent;
    show_as_values(work_.plan, work_.scratch.sum, work_.scratch.state);
  }

 private:
  void take(Index n) {
    const PrefixState<R> state = work_.states.get(head_, n);
    std::copy_n(state.sum, work_.plan.state(), work_.scratch.sum);
    exponent_ = state.exponent;
  }

  const PrefixWork<T, Map>& work_;
  Index head_;
  Index end_ = -1;
  R exponent_ = no_exponent<R>;
};

// Pass 3: one block of the queries of all heads that share a key head.
template <class T, class Map>
void attend_block(const PrefixWork<T, Map>& work, Index head, Index block) {
  using R = Accum<T>;
  constexpr Index chunk = PrefixPlan::chunk;
  const Shape& shape = work.problem.shape;
  const Visible visible = work.visible_of(head);
  const auto [first, last] = query_block(visible, shape.Lq, block);
  auto keys = work.keys_of(head);
  PrefixQueries<T, Map> queries(work.plan, work.map, work.scratch);
  RunningState<T, Map> state(work, head);
  for (Index i = first, end = first; i < last; i = end) {
    const Index seen = visible.keys(i);
    const bool whole = seen == 0 || seen == visible.length;
    const Index before = whole ? seen : (seen - 1) / chunk * chunk;
    const Index most = whole ? seen : std::min(before + chunk, visible.length);
    while (end < last && end - i < chunk && visible.keys(end) <= most) ++end;
    state.advance(before, visible.length, keys);
    if (!whole) keys.load(before, most);
    for (Index g = 0; g < shape.group(); ++g) {
      const Index b = head / shape.Hkv, h = head % shape.Hkv * shape.group() + g;
      queries.load(work.problem.q.matrix(b, h), visible, i, end);
      queries.find_tops(state.exponent(), whole ? nullptr : &keys);
      queries.attend_state(state.exponent());
      if (!whole) queries.attend_chunk(keys);
      View<R, 1> lse{nullptr, {shape.Lq}, {1}};
      if (work.problem.lse.data != nullptr) {
        lse.data = &work.problem.lse(b, h, 0);
        lse.stride[0] = work.problem.lse.stride[2];
      }
      queries.write(work.problem.out.matrix(b, h), lse);
    }
  }
}

// All of a call: problem.out, and problem.lse where it has data. `map` gives `features` numbers for
// a row; visible [B].
//
// Time O(B·(Hq·Lq + Hkv·Lk)·F·(D + Dv)); scratch O(threads·F·Dv + B·Hkv·Lk / 1024·F·Dv).
template <class T, class Map>
void prefix_attention(const Problem<T>& problem, const Map& map, Index features,
                      const Visible* visible, int threads, Executor* executor) {
  using R = Accum<T>;
  const Shape& shape = problem.shape;
  const Index heads = shape.Hq == 0 ? 0 : checked_product(shape.B, shape.Hkv);
  const PrefixPlan plan = prefix_plan(shape, simd::kernels<R>(isa()).geometry, features);
  const int workers = worker_count(heads * std::max(plan.spans, plan.blocks), threads, executor);
  Carver one(nullptr), all(nullptr);
  PrefixScratch<R>::carve(one, plan, shape.Dv, map.scratch(plan));
  PrefixStates<R>(all, plan, heads);
  const Index bytes = static_cast<Index>(one.used());
  const Scratch memory(static_cast<std::size_t>(checked_sum(static_cast<Index>(all.used()),
                                                            checked_product(bytes, workers))),
                       {});
  Carver carver(memory.begin());
  const PrefixStates<R> states(carver, plan, heads);
  const auto work_of = [&](int worker) {
    Carver own(memory.begin() + all.used() + worker * bytes);
    PrefixWork<T, Map> work{
        problem, map,    visible,
        plan,    states, PrefixScratch<R>::carve(own, plan, shape.Dv, map.scratch(plan))};
    work.scratch.clear(plan);
    return work;
  };
  parallel_for(heads * plan.spans, workers, executor, [&](Index task, int worker) {
    sum_span(work_of(worker), task / plan.spans, task % plan.spans);
  });
  parallel_for(heads, workers, executor,
               [&](Index head, int) { add_up_spans(plan, states, head); });
  parallel_for(heads * plan.blocks, workers, executor, [&](Index task, int worker) {
    attend_block(work_of(worker), task / plan.blocks, plan.blocks - 1 - task % plan.blocks);
  });
}

}  // namespace HEED_ABI
}  // namespace heed::approx
