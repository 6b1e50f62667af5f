// The gradient of sinks. A sink is a score whose value is 0, so of a row it is −p_sink·delta.
#pragma once

#include "heed/attention/flash/backward_task.hpp"

namespace heed {

inline namespace HEED_ABI {

// Rows of out are exactly 0 then. NaN in their d_out must not reach the gradient by 0 · NaN.
template <class T, class M, class S>
bool sees_no_key(const BackwardTask<T, M, S>& task, Index h, Index i) {
  const auto& out = task.call.out;
  for (Index d = 0; out.data != nullptr && d < task.shape().Dv; ++d) {
    if (!(out(task.b, h, i, d) == 0)) return false;
  }
  return out.data != nullptr;
}

// −Σ p_sink·delta of the queries of head g, in ascending order, summed in double.
template <class T, class M, class S>
double d_sink(const BackwardTask<T, M, S>& task, Index g) {
  using R = Accum<T>;
  const R sink = sink_of<R>(task.call.forward, task.query_head(g));
  const R* lse = task.wave.lse_of(task.head, g);
  const R* delta = task.wave.delta_of(task.head, g);
  double sum = 0;
  if (is_masked(sink)) return sum;
  for (Index i = 0; i < task.shape().Lq; ++i) {
    const bool skipped =
        lse[i] == sink && is_nan(delta[i]) && sees_no_key(task, task.query_head(g), i);
    if (!skipped) sum -= static_cast<double>(sink_weight(sink, lse[i]) * delta[i]);
  }
  return sum;
}

// The heads of a wave, each by one worker.
//   task_of(head, worker)
template <class TaskOf>
void find_d_sinks(Index heads, Index group, int workers, Executor* executor,
                  const TaskOf& task_of) {
  parallel_for(heads * group, workers, executor, [&](Index index, int worker) {
    const auto task = task_of(index / group, worker);
    const Index g = index % group;
    task.wave.d_sinks[task.b * task.shape().Hq + task.query_head(g)] = d_sink(task, g);
  });
}

// The sums over the batch, in ascending order, go to the caller.
inline void store_d_sinks(const double* d_sinks, const Shape& shape, const HeadNumbers<true>& to) {
  for (Index h = 0; h < to.size(); ++h) {
    double sum = 0;
    for (Index b = 0; b < shape.B; ++b) sum += d_sinks[b * shape.Hq + h];
    to.set(h, sum);
  }
}

}  // namespace HEED_ABI
}  // namespace heed
