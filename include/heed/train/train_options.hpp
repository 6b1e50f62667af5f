// Options and callbacks of train().
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "heed/core/parallel.hpp"
#include "heed/simd/compute.hpp"
#include "heed/train/loss_scale.hpp"
#include "heed/train/progress.hpp"

namespace heed::train {

struct TrainOptions {
  Index steps = 0;       // that the run has in the end, at least 1, those before a resume included
  Index accumulate = 1;  // batches a step, whose gradients are averaged
  std::function<double(Index)> learning_rate = {};  // of step 0, 1, …; none: the optimizer's stays
  double clip = std::numeric_limits<double>::max();  // bound of the gradients' global norm
  std::uint64_t seed = 0;                            // of dropout
  int threads = 0;                                   // no bit depends on them
  Executor* executor = nullptr;
  Index evaluate_every = 0;         // steps between two calls of evaluate; 0: only after the last
  Index patience = 0;               // stops after so many of these without a new best; 0: never
  Compute compute = Compute::full;  // of products; the model's own numbers stay float
  std::optional<LossScale> loss_scale = {};  // half needs it: small gradients would round to 0
};

template <class Model>
struct Callbacks {
  std::vector<std::function<void(const Report&)>> on_step = {};  // in this order, after each step
  std::function<double(const Model&)> evaluate = {};             // the loss on held-out data
  // Asked after each step, before the functions above; true: that step is the run's last.
  std::function<bool()> stop = {};
  // Where train() throws: the run as it was after the last step that was taken.
  std::function<void(const Progress&)> on_failure = {};
};

inline namespace HEED_ABI {

// Throws heed::Error for an option outside its range.
inline void check_train_options(const TrainOptions& options, const Progress& progress) {
  constexpr const char* call = "heed::train::train";
  const auto at_least = [](Index least, const char* name, Index number) {
    check_range(call, name, static_cast<double>(number), static_cast<double>(least),
                std::numeric_limits<double>::max());
  };
  at_least(progress.step > 0 ? 0 : 1, "steps", options.steps);
  at_least(1, "accumulate", options.accumulate);
  at_least(0, "threads", options.threads);
  at_least(0, "evaluate_every", options.evaluate_every);
  at_least(0, "patience", options.patience);
  if (!(options.clip >= 0)) {
    throw Error(std::string(call) + ": clip " + std::to_string(options.clip) + " is below 0");
  }
  if (options.loss_scale) check_loss_scale(*options.loss_scale);
}

}  // namespace HEED_ABI
}  // namespace heed::train
