// The state of a training run, and the report that its callbacks get of each step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/types.hpp"

namespace heed::train {

// A loss on data that is not trained on, after `step` steps.
struct HeldOut {
  Index step = 0;
  double loss = 0;
};

// With the model and the optimizer, all that a run goes on from; a checkpoint holds it.
struct Progress {
  Index step = 0;                   // steps taken
  Index batch = 0;                  // number of the batch that comes next
  std::uint64_t seed = 0;           // of the dropout
  std::vector<double> losses = {};  // [step], of each step
  std::vector<HeldOut> held_out = {};
  double loss_scale = 0;     // 0: no step with LossScale has been taken
  Index steps_at_scale = 0;  // since it changed
  bool stopped_early = false;
};

// Of a step that has just been taken.
struct Report {
  const Progress& progress;
  Index steps;  // that the run is to have
  double loss;  // of the step
  double norm;  // of the gradients, before they were clipped
  double learning_rate;
  double tokens_per_second;  // 0 where the batches don't tell their tokens
  double seconds;            // since the run began here
  double seconds_left;       // at the pace so far
  bool evaluated;            // progress.held_out has just grown
  bool stopped = false;      // by Callbacks::stop

  bool last() const { return progress.step == steps || progress.stopped_early || stopped; }
};

inline namespace HEED_ABI {

// The evaluation with the least loss, the first of equals, or none.
inline const HeldOut* best_held_out(const Progress& progress) {
  const auto best =
      std::min_element(progress.held_out.begin(), progress.held_out.end(),
                       [](const HeldOut& a, const HeldOut& b) { return a.loss < b.loss; });
  return best == progress.held_out.end() ? nullptr : &*best;
}

// Evaluations since the best one.
inline Index evaluations_since_best(const Progress& progress) {
  const HeldOut* best = best_held_out(progress);
  return best == nullptr ? 0 : &progress.held_out.back() - best;
}

// The step that has just been evaluated is the best so far: the time to save the model.
inline bool is_best(const Report& report) {
  return report.evaluated && evaluations_since_best(report.progress) == 0;
}

}  // namespace HEED_ABI
}  // namespace heed::train
