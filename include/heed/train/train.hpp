// The loop of training, as one call.
//
//   train::Adam optimizer(model, train::adam_w());
//   train::train(model, optimizer, batches, train::classification(), {.steps = 1000, .clip = 1},
//                {.on_step = {train::progress_bar(stderr)}});
//
// A model of one's own takes part by writing each_parameter, forward_train and backward
// (nn/gradients.hpp), a loss of its own by an objective (objective.hpp).
#pragma once

#include <chrono>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "heed/train/clip.hpp"
#include "heed/train/objective.hpp"
#include "heed/train/train_options.hpp"

namespace heed::train {

inline namespace HEED_ABI {

// A run of train(): the steps that are left of it.
template <class Model, class Optimizer, class Batches, class Objective>
class TrainRun {
 public:
  TrainRun(Model& model, Optimizer& optimizer, const Batches& batches, const Objective& objective,
           const TrainOptions& options, Progress progress)
      : model_(model),
        optimizer_(optimizer),
        batches_(batches),
        objective_(objective),
        options_(options),
        gradients_(nn::gradients_of(model)),
        progress_(std::move(progress)) {
    check();
    progress_.seed = options_.seed;
    progress_.stopped_early = is_out_of_patience();
    if (options_.loss_scale && progress_.loss_scale == 0) {
      progress_.loss_scale = options_.loss_scale->start;
    }
  }

  Progress run(const Callbacks<Model>& callbacks) {
    try {
      while (progress_.step < options_.steps && !progress_.stopped_early && !stopped_) {
        const Measured step = take_step();
        stopped_ = callbacks.stop && callbacks.stop();
        const bool evaluated = evaluate(callbacks);
        const Report report = report_of(step, evaluated);
        for (const auto& callback : callbacks.on_step) callback(report);
      }
    } catch (...) {
      if (callbacks.on_failure) callbacks.on_failure(progress_);
      throw;
    }
    return std::move(progress_);
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Measured {
    double loss = 0, norm = 0, learning_rate = 0;
  };

  void check() const {
    check_train_options(options_, progress_);
    if (progress_.step > 0 && progress_.seed != options_.seed) {
      fail("the run was begun with seed " + std::to_string(progress_.seed) + ", options have " +
           std::to_string(options_.seed));
    }
  }

  // Of the step after `taken`: steps are counted from 1, as in reports.
  [[noreturn]] static void fail_after(Index taken, const std::string& why) {
    throw Error("heed::train::train: step " + std::to_string(taken + 1) + ": " + why);
  }
  [[noreturn]] void fail(const std::string& why) const { fail_after(progress_.step, why); }

  double scale() const { return options_.loss_scale ? progress_.loss_scale : 1; }

  // One step. Where it throws, model, optimizer and progress are as before, but for the loss scale.
  Measured take_step() {
    Measured step;
    step.loss = gradients_of_step();
    step.norm = global_norm(gradients_) / scale();
    while (!is_finite(step.norm)) {
      const std::string name = first_not_finite(gradients_);
      if (!options_.loss_scale || !halve_scale(progress_, *options_.loss_scale)) {
        fail(name.empty() ? "the norm of the gradients overflows"
                          : "the gradient of " + name + " is not finite");
      }
      step.loss = gradients_of_step();
      step.norm = global_norm(gradients_) / scale();
    }
    const double clipped = step.norm > options_.clip ? options_.clip / step.norm : 1;
    scale_gradients(gradients_, clipped / scale());
    step.learning_rate = update();
    if (options_.loss_scale) count_scaled_step(progress_, *options_.loss_scale);
    progress_.losses.push_back(step.loss);
    progress_.batch += options_.accumulate;
    ++progress_.step;
    return step;
  }

  // The loss, and in gradients_ its gradients times scale().
  double gradients_of_step() {
    nn::zero(gradients_);
    double sum = 0;
    tokens_of_step_ = 0;
    for (Index n = progress_.batch; n < progress_.batch + options_.accumulate; ++n) {
      const auto& batch = batches_(n);
      const Pass pass{{.mode = nn::Mode::train,
                       .seed = batch_seed(options_.seed, n),
                       .threads = options_.threads,
                       .executor = options_.executor,
                       .compute = options_.compute},
                      scale() / static_cast<double>(options_.accumulate)};
      const double loss = objective_(std::as_const(model_), batch, gradients_, pass);
      if (!is_finite(loss)) fail_loss(n);
      sum += loss;
      tokens_of_step_ += tokens_of_batch(batch);
    }
    return sum / static_cast<double>(options_.accumulate);
  }

  [[noreturn]] void fail_loss(Index batch) const {
    const std::string where = "the loss of batch " + std::to_string(batch) + " is not finite";
    const std::string weight = first_not_finite(model_), gradient = first_not_finite(gradients_);
    if (!weight.empty()) fail(where + "; nor is the parameter " + weight);
    fail(gradient.empty() ? where : where + "; nor is the gradient of " + gradient);
  }

  double update() {
    if (options_.learning_rate) {
      const double rate = options_.learning_rate(progress_.step);
      if (!(rate >= 0 && is_finite(rate))) fail("the learning rate is " + std::to_string(rate));
      optimizer_.options().learning_rate = rate;
    }
    optimizer_.step(model_, gradients_,
                    {.threads = options_.threads, .executor = options_.executor});
    tokens_ += tokens_of_step_;
    training_seconds_ = seconds() - other_seconds_;
    return optimizer_.options().learning_rate;
  }

  bool evaluate(const Callbacks<Model>& callbacks) {
    const bool last = stopped_ || progress_.step == options_.steps;
    if (!callbacks.evaluate || !(last || is_due(progress_.step))) return false;
    const double before = seconds(), loss = callbacks.evaluate(std::as_const(model_));
    if (!is_finite(loss)) fail_after(progress_.step - 1, "the held-out loss is not finite");
    progress_.held_out.push_back({progress_.step, loss});
    progress_.stopped_early = is_out_of_patience();
    other_seconds_ += seconds() - before;
    return true;
  }

  bool is_due(Index step) const {
    return options_.evaluate_every > 0 && step % options_.evaluate_every == 0;
  }

  // Over the evaluations that were due: one at the end of a run that later goes on does not count.
  bool is_out_of_patience() const {
    Progress due;
    for (const HeldOut& at : progress_.held_out) {
      if (is_due(at.step)) due.held_out.push_back(at);
    }
    return options_.patience > 0 && evaluations_since_best(due) >= options_.patience;
  }

  Report report_of(const Measured& step, bool evaluated) {
    const double now = seconds();
    const auto taken = static_cast<double>(++taken_);
    const auto left = static_cast<double>(options_.steps - progress_.step);
    return {progress_,
            options_.steps,
            step.loss,
            step.norm,
            step.learning_rate,
            training_seconds_ > 0 ? static_cast<double>(tokens_) / training_seconds_ : 0,
            now,
            progress_.stopped_early || stopped_ ? 0 : now / taken * left,
            evaluated,
            stopped_};
  }

  double seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }

  Model& model_;
  Optimizer& optimizer_;
  const Batches& batches_;
  const Objective& objective_;
  const TrainOptions& options_;
  Model gradients_;
  Progress progress_;
  Clock::time_point begun_ = Clock::now();
  double training_seconds_ = 0, other_seconds_ = 0;
  Index tokens_ = 0, tokens_of_step_ = 0, taken_ = 0;
  bool stopped_ = false;  // by Callbacks::stop
};

// Takes the steps that `progress` has not: batches, gradients, clipping, the optimizer's step.
//
//   optimizer  Adam, Sgd or another with options().learning_rate and step(model, gradients, call)
//   batches    batches(n) gives batch n, the same whenever it is asked
//   objective  forward, loss and backward of a batch: classification(), regression() or one's own
//   progress   of the run so far, from load_checkpoint; by default nothing
//
// Returns the progress, whose losses loss_curve draws. Prints nothing by itself. Bits depend on the
// seed, not on the threads, nor on where the run was interrupted.
//
// Throws heed::Error where a loss or a gradient is not finite, with the step, counted from 1, and
// the first parameter concerned; model and optimizer then are as after the step before, and
// callbacks.on_failure has the progress. An exception of a callback passes through after its step
// was taken.
template <class Model, class Optimizer, class Batches, class Objective>
Progress train(Model& model, Optimizer& optimizer, const Batches& batches,
               const Objective& objective, const TrainOptions& options,
               const Callbacks<std::type_identity_t<Model>>& callbacks = {},
               Progress progress = {}) {
  return TrainRun<Model, Optimizer, Batches, Objective>(model, optimizer, batches, objective,
                                                        options, std::move(progress))
      .run(callbacks);
}

}  // namespace HEED_ABI
}  // namespace heed::train
