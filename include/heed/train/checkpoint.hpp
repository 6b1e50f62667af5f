// Checkpoints: a run that goes on from one has the bits of a run that never stopped.
//
//   const auto progress = train::resume(path, model, optimizer);
//   train::train(model, optimizer, batches, objective, options,
//                {.on_step = {train::checkpoint_every(100, path, model, optimizer)}}, progress);
//
// One safetensors file holds model.…, optimizer.MOMENT.… and progress.…; Python reads it too. The
// options of optimizer and run are not in it: they are given again.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "heed/files/model.hpp"
#include "heed/nn/gradients.hpp"
#include "heed/train/clip.hpp"
#include "heed/train/progress.hpp"

namespace heed::train {
inline namespace HEED_ABI {

inline constexpr const char* checkpoint_key = "heed.checkpoint";
inline constexpr const char* checkpoint_version = "1";

template <class Optimizer>
concept CountsSteps = requires(Optimizer& optimizer) {
  optimizer.restore_steps(optimizer.steps());
};

// The number of a progress that cannot be, or "".
inline std::string fault_of(const Progress& progress) {
  const auto text = [](const char* name, auto number) {
    return std::string(name) + " " + std::to_string(number);
  };
  if (progress.step < 0) return text("step", progress.step);
  if (progress.batch < 0) return text("batch", progress.batch);
  if (progress.steps_at_scale < 0) return text("steps_at_scale", progress.steps_at_scale);
  if (!(progress.loss_scale >= 0 && is_finite(progress.loss_scale))) {
    return text("loss_scale", progress.loss_scale);
  }
  if (progress.losses.size() != static_cast<std::size_t>(progress.step)) {
    return text("step", progress.step) + text(", losses of", progress.losses.size());
  }
  for (const double loss : progress.losses) {
    if (!is_finite(loss)) return text("loss", loss);
  }
  Index before = 0;
  for (const HeldOut& at : progress.held_out) {
    if (at.step <= before || at.step > progress.step) return text("held-out step", at.step);
    if (!is_finite(at.loss)) return text("held-out loss", at.loss);
    before = at.step;
  }
  return "";
}

inline void add_progress(files::SafetensorsWriter& writer, const Progress& progress) {
  std::vector<std::int64_t> steps;
  std::vector<double> losses;
  for (const HeldOut& at : progress.held_out) {
    steps.push_back(at.step);
    losses.push_back(at.loss);
  }
  writer.add_values("progress.counts", std::vector<std::int64_t>{progress.step, progress.batch,
                                                                 progress.steps_at_scale});
  writer.add_values("progress.seed", std::vector<std::uint64_t>{progress.seed});
  writer.add_values("progress.loss_scale", std::vector<double>{progress.loss_scale});
  writer.add_values("progress.losses", progress.losses);
  writer.add_values("progress.held_out_steps", std::move(steps));
  writer.add_values("progress.held_out_losses", std::move(losses));
}

// Replaces the file as a whole: killed at any moment, the path has the checkpoint from before or
// this one. Throws heed::Error, with the path, where it cannot be written or progress has numbers
// that cannot be, such as fewer losses than steps.
template <class Model, class Optimizer>
void save_checkpoint(const std::filesystem::path& path, const Model& model,
                     const Optimizer& optimizer, const Progress& progress) {
  if (const std::string fault = fault_of(progress); !fault.empty()) {
    throw Error("heed::train::save_checkpoint: " + path.string() + ": progress has " + fault);
  }
  files::SafetensorsWriter writer;
  writer.describe(checkpoint_key, checkpoint_version);
  files::add_parameters(writer, model, "model.");
  Optimizer::each_moment(optimizer, [&](const std::string& name, const auto& moments) {
    files::add_parameters(writer, moments, "optimizer." + name + ".");
  });
  if constexpr (CountsSteps<Optimizer>) {
    writer.add_values("optimizer.steps", std::vector<std::int64_t>{optimizer.steps()});
  }
  add_progress(writer, progress);
  writer.write(path);
}

// Reads tensors of a checkpoint by name, and knows those that nobody asked for.
class CheckpointReader {
 public:
  explicit CheckpointReader(const std::filesystem::path& path) : file_(path) {
    const auto found = file_.metadata().find(checkpoint_key);
    if (found == file_.metadata().end()) fail("the file is not a checkpoint");
    if (found->second != checkpoint_version) {
      fail("the checkpoint has version " + files::printable(found->second) + ", not " +
           checkpoint_version);
    }
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw Error("heed::train::load_checkpoint: " + file_.path() + ": " + why);
  }

  // A list of numbers, of `size` of them where that is known.
  template <class T>
  std::vector<T> list(const std::string& name, std::uint64_t size) {
    used_.insert(name);
    return file_.values<T>(name, std::array{size});
  }
  template <class T>
  std::vector<T> list(const std::string& name) {
    const auto found = file_.tensors().find(name);
    const bool flat = found != file_.tensors().end() && found->second.shape.size() == 1;
    return list<T>(name, flat ? found->second.shape[0] : 0);
  }

  // All parameters of a module.
  template <class Module>
  void read(Module& module, const std::string& prefix) {
    nn::each_parameter(module, [&](const std::string& name, auto& parameter) {
      using T = typename std::remove_reference_t<decltype(parameter.value)>::Scalar;
      used_.insert(prefix + name);
      const std::vector<T> values =
          file_.values<T>(prefix + name, files::file_shape(parameter.shape()));
      auto value = values.begin();
      for (Index i = 0; i < parameter.value.rows(); ++i) {
        for (Index j = 0; j < parameter.value.cols(); ++j) parameter.value(i, j) = *value++;
      }
    });
  }

  Progress progress() {
    const auto counts = list<std::int64_t>("progress.counts", 3);
    Progress progress{.step = counts[0], .batch = counts[1], .steps_at_scale = counts[2]};
    progress.seed = list<std::uint64_t>("progress.seed", 1)[0];
    progress.loss_scale = list<double>("progress.loss_scale", 1)[0];
    progress.losses = list<double>("progress.losses");
    const auto steps = list<std::int64_t>("progress.held_out_steps");
    const auto losses = list<double>("progress.held_out_losses", steps.size());
    for (std::size_t n = 0; n < steps.size(); ++n) {
      progress.held_out.push_back({steps[n], losses[n]});
    }
    const std::string fault = fault_of(progress);
    if (!fault.empty()) fail("its progress has " + fault);
    return progress;
  }

  void check_all_used() const {
    for (const auto& [name, entry] : file_.tensors()) {
      if (!used_.contains(name)) fail("nothing here is named " + files::printable(name));
    }
  }

 private:
  files::Safetensors file_;
  std::set<std::string> used_;
};

// Takes model, moments and progress from a checkpoint. Throws heed::Error, with the path and the
// tensor, for a file that is cut, is not a checkpoint, or is one of another model or optimizer;
// then model and optimizer are as before. Holds both twice in the meantime.
template <class Model, class Optimizer>
Progress load_checkpoint(const std::filesystem::path& path, Model& model, Optimizer& optimizer) {
  CheckpointReader reader(path);
  Model new_model = model;
  Optimizer new_optimizer = optimizer;
  reader.read(new_model, "model.");
  Optimizer::each_moment(new_optimizer, [&](const std::string& name, auto& moments) {
    reader.read(moments, "optimizer." + name + ".");
  });
  if constexpr (CountsSteps<Optimizer>) {
    const std::int64_t steps = reader.list<std::int64_t>("optimizer.steps", 1)[0];
    if (steps < 0) reader.fail("its optimizer has steps " + std::to_string(steps));
    new_optimizer.restore_steps(steps);
  }
  Progress progress = reader.progress();
  reader.check_all_used();
  nn::for_each_parameter(
      [](const std::string&, auto& to, auto& from) { to.value.swap(from.value); }, model,
      new_model);
  optimizer = std::move(new_optimizer);
  return progress;
}

// load_checkpoint, or a run's beginning where there is no such file. Throws as load_checkpoint
// does, and where the path cannot be looked at.
template <class Model, class Optimizer>
Progress resume(const std::filesystem::path& path, Model& model, Optimizer& optimizer) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::not_found) return {};
  if (error) throw Error("heed::train::resume: " + path.string() + ": " + error.message());
  return load_checkpoint(path, model, optimizer);
}

// A callback of train(): a checkpoint after every `every` steps and after the last. Refers to model
// and optimizer. Throws as save_checkpoint does, and heed::Error with the name of a parameter that
// is not finite; then the last good checkpoint stays.
template <class Model, class Optimizer>
auto checkpoint_every(Index every, const std::filesystem::path& path, const Model& model,
                      const Optimizer& optimizer) {
  return [every, path, &model, &optimizer](const Report& report) {
    if (!report.last() && (every <= 0 || report.progress.step % every != 0)) return;
    const std::string broken = first_not_finite(model);
    if (!broken.empty()) {
      throw Error("heed::train::checkpoint_every: step " + std::to_string(report.progress.step) +
                  ": the parameter " + broken + " is not finite");
    }
    save_checkpoint(path, model, optimizer, report.progress);
  };
}

}  // namespace HEED_ABI
}  // namespace heed::train
