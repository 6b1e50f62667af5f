// The gradients of scan_attention in O(L·F·(D + Dv)): one scan up the sequence for d_q and one down
// it for d_k and d_v, each with a state of F × (Dv + 1). The forward pass is computed again: sums
// of queries and d_out·out then come from out before it is rounded.
//
// Sums of keys and of queries are cut as in scan_attention, in spans that are added up in one
// order. So bits depend on lengths and sizes alone.
#pragma once

#include <algorithm>
#include <vector>

#include "heed/approx/linear/scan_gradient_segment.hpp"
#include "heed/approx/results.hpp"
#include "heed/core/copy.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// Arrays that the workers of a call share.
template <class R>
struct ScanGradientStates {
  QueryStatistics<R> statistics;
  KvStates<R> before;  // [heads, spans + 1]
  KvStates<R> behind;  // [heads, spans + blocks + 1]

  ScanGradientStates(Carver& carver, const ScanPlan& plan, const Shape& shape)
      : statistics(statistics_in(carver, shape)),
        before(carver, plan, shape.B * shape.Hkv),
        behind(carver, with_segments(plan), shape.B * shape.Hkv) {}

 private:
  static QueryStatistics<R> statistics_in(Carver& carver, const Shape& shape) {
    const Index rows = checked_product(checked_product(shape.B, shape.Hq), shape.Lq);
    R* const sum = carver.array<R>(rows);
    R* const delta = carver.array<R>(rows);
    return {sum, delta, carver.array<R>(rows)};
  }
  static ScanPlan with_segments(ScanPlan plan) {
    plan.spans += plan.blocks;
    return plan;
  }
};

// The memory of a call: what its workers share, and the scratch of each.
template <class R>
class ScanGradientMemory {
 public:
  //   map_size  numbers of the map's scratch
  ScanGradientMemory(const ScanPlan& plan, const Shape& shape, Index map_size, int workers)
      : plan_(plan),
        shape_(shape),
        map_size_(map_size),
        shared_(bytes_of([&](Carver& all) { ScanGradientStates<R>(all, plan, shape); })),
        own_(bytes_of([&](Carver& one) { carve(one); })),
        memory_(static_cast<std::size_t>(checked_sum(shared_, checked_product(own_, workers))),
                {}) {}

  ScanGradientStates<R> states() const {
    Carver carver(memory_.begin());
    return {carver, plan_, shape_};
  }
  ScanGradientScratch<R> scratch_of(int worker) const {
    Carver own(memory_.begin() + shared_ + worker * own_);
    const ScanGradientScratch<R> scratch = carve(own);
    scratch.clear(plan_, shape_);
    return scratch;
  }

 private:
  template <class F>
  static Index bytes_of(const F& carve) {
    Carver counter(nullptr);
    carve(counter);
    return static_cast<Index>(counter.used());
  }
  ScanGradientScratch<R> carve(Carver& carver) const {
    return ScanGradientScratch<R>::carve(carver, plan_, shape_, map_size_);
  }

  const ScanPlan& plan_;
  const Shape& shape_;
  Index map_size_, shared_, own_;  // bytes of what is shared, and of a worker's
  Scratch memory_;
};

// states[n] = states[from] + part.
template <class R>
void store_sum(const ScanPlan& plan, const KvStates<R>& states, Index head, Index n, Index from,
               const KvState<R>& part) {
  KvState<R> sum = states.get(head, n);
  const KvState<R> rest = states.get(head, from);
  std::copy_n(part.sum, plan.state(), sum.sum);
  sum.exponent = part.exponent;
  merge_into(plan, sum, rest);
  states.set_exponent(head, n, sum.exponent);
}

template <class R>
void clear_state(const ScanPlan& plan, const KvStates<R>& states, Index head, Index n) {
  std::fill_n(states.get(head, n).sum, plan.state(), R(0));
  states.set_exponent(head, n, no_exponent<R>);
}

// All of one head on one worker.
template <class T, class Map>
void scan_gradients_of_head(const ScanGradientWork<T, Map>& work, const ScanCut& cut, Index head) {
  const ScanPlan& plan = work.plan;
  ScanGradientHead<T, Map> segments(work, cut, head);
  clear_state(plan, work.before, head, 0);
  for (Index n = 0; n < plan.spans; ++n) {
    store_sum(plan, work.before, head, n + 1, n, segments.scan_up(n));
  }
  for (Index n = 0; n < plan.blocks; ++n) segments.scan_up_whole(n);
  const Index end = plan.spans + plan.blocks;
  clear_state(plan, work.behind, head, end);
  for (Index n = end - 1; n >= 0; --n) {
    store_sum(plan, work.behind, head, n, n + 1,
              n < plan.spans ? segments.scan_down(n) : segments.sum_whole(n - plan.spans));
  }
}

// Sums of spans that were computed apart are added up: states[n] += states[n − 1], or the other
// way.
template <class R>
void add_up_states(const ScanPlan& plan, const KvStates<R>& states, Index head, bool upwards) {
  const Index last = states.spans;
  clear_state(plan, states, head, upwards ? 0 : last);
  for (Index step = 1; step <= last; ++step) {
    const Index n = upwards ? step : last - step, from = upwards ? n - 1 : n + 1;
    KvState<R> state = states.get(head, n);
    merge_into(plan, state, states.get(head, from));
    states.set_exponent(head, n, state.exponent);
  }
}

// The same over heads that are divided into segments.
//   each(tasks, f)  calls f(segments of a head, head, n) for all heads and n in [0, tasks)
template <class T, class Each, class EachHead>
void scan_gradients_divided(const ScanPlan& plan, const ScanGradientStates<Accum<T>>& states,
                            const Each& each, const EachHead& each_head) {
  using R = Accum<T>;
  const auto keep = [&](const KvStates<R>& to, Index head, Index n, const KvState<R>& part) {
    std::copy_n(part.sum, plan.state(), to.get(head, n).sum);
    to.set_exponent(head, n, part.exponent);
  };
  each(plan.spans, [&](auto& segments, Index head, Index n) {
    keep(states.before, head, n + 1, segments.sum_keys(n));
  });
  each_head([&](Index head) { add_up_states(plan, states.before, head, true); });
  each(plan.spans + plan.blocks, [&](auto& segments, Index head, Index n) {
    if (n < plan.spans) {
      if (segments.has_queries(n)) segments.scan_up(n);
      keep(states.behind, head, n, segments.sum_queries(n));
    } else {
      segments.scan_up_whole(n - plan.spans);
      keep(states.behind, head, n, segments.sum_whole(n - plan.spans));
    }
  });
  each_head([&](Index head) { add_up_states(plan, states.behind, head, false); });
  each(plan.spans, [](auto& segments, Index, Index n) { segments.scan_down(n); });
}

// True where a call has nothing to write, however many heads it has.
template <class T>
bool are_empty(const GradientViews<T>& x) {
  return x.d_q.empty() && x.d_k.empty() && x.d_v.empty();
}

// The cut of each batch entry; keys that no query sees are none. Gradients of what sees nothing, or
// is not seen, become 0.
template <class T>
std::vector<ScanCut> scan_cuts(const Shape& shape, const mask::KeyLimit* visible,
                               const GradientViews<T>& to) {
  std::vector<ScanCut> cuts;
  for (Index b = 0; b < shape.B; ++b) {
    ScanCut cut{visible[b], shape.Lq};
    cut.visible.length = shape.Lq == 0 ? 0 : cut.visible.keys(shape.Lq - 1);
    const Index first = cut.visible.length == 0 ? shape.Lq : cut.first_query(0);
    const auto clear = [b](const View<T, 4>& x, Index h, Index begin, Index end) {
      fill(slice(x.matrix(b, h), begin, end - begin), T(0));
    };
    for (Index h = 0; h < shape.Hq; ++h) clear(to.d_q, h, 0, first);
    for (Index h = 0; h < shape.Hkv; ++h) {
      const Index length = shape.Hq == 0 ? 0 : cut.visible.length;
      clear(to.d_k, h, length, shape.Lk);
      clear(to.d_v, h, length, shape.Lk);
    }
    cuts.push_back(cut);
  }
  return cuts;
}

// The gradients of Σ d_out ∘ out. `map` gives `features` numbers for a row and takes their
// gradients back; visible [B].
//
// Time 3.5 to 5.3 times scan_attention's; scratch O(threads·F·Dv + B·Hq·Lq), and
// O(B·Hkv·(Lq + Lk) / 1024·F·Dv).
template <class T, class Map>
void scan_gradients(const Problem<T>& problem, const View<const T, 4>& d_out,
                    const GradientViews<T>& to, const Map& map, Index features,
                    const mask::KeyLimit* visible, int threads, Executor* executor) {
  using R = Accum<T>;
  const Shape& shape = problem.shape;
  const std::vector<ScanCut> cuts = scan_cuts(shape, visible, to);
  if (has_no_rows(shape)) return;
  const Index heads = checked_product(shape.B, shape.Hkv);
  const CallKernels<T> kernels = call_kernels<T>(isa());
  const ScanCall<T> plan{scan_gradient_plan(shape, kernels.of_sums.tile_shape, features), kernels};
  int workers = worker_count(heads * (plan.spans + plan.blocks), threads, executor);
  const bool divided = divides_heads(plan, heads, workers);
  if (!divided) workers = worker_count(heads, threads, executor);
  const ScanGradientMemory<R> memory(plan, shape, map.scratch(plan), workers);
  const ScanGradientStates<R> states = memory.states();
  const auto work_of = [&](int worker) {
    return ScanGradientWork<T, Map>{problem,
                                    d_out,
                                    to,
                                    map,
                                    plan,
                                    states.before,
                                    states.behind,
                                    states.statistics,
                                    memory.scratch_of(worker)};
  };
  const auto cut_of = [&](Index head) -> const ScanCut& {
    return cuts[static_cast<std::size_t>(head / shape.Hkv)];
  };
  if (!divided) {
    return parallel_for(heads, workers, executor, [&](Index head, int worker) {
      scan_gradients_of_head(work_of(worker), cut_of(head), head);
    });
  }
  const auto each = [&](Index tasks, const auto& f) {
    parallel_for(heads * tasks, workers, executor, [&](Index task, int worker) {
      const auto work = work_of(worker);
      const Index head = task / tasks;
      ScanGradientHead<T, Map> segments(work, cut_of(head), head);
      f(segments, head, task % tasks);
    });
  };
  const auto each_head = [&](const auto& f) {
    parallel_for(heads, workers, executor, [&](Index head, int) { f(head); });
  };
  scan_gradients_divided<T>(plan, states, each, each_head);
}

}  // namespace HEED_ABI
}  // namespace heed::approx
