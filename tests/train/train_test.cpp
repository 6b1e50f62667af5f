// train(): the loop by hand, step for step; what it refuses; what its callbacks see.
#include "heed/train/train.hpp"

#include <cstdio>
#include <map>

#include "heed/nn/feed_forward.hpp"
#include "heed/nn/initialise.hpp"
#include "heed/nn/linear.hpp"
#include "heed/train/adam.hpp"
#include "heed/train/checkpoint.hpp"
#include "heed/train/progress_bar.hpp"
#include "heed/train/schedule.hpp"
#include "heed/train/sgd.hpp"
#include "heed/train/shuffled.hpp"
#include "nn/gradients.hpp"
#include "support/temporary_file.hpp"

using namespace nn_test;
namespace nn = heed::nn;
namespace train = heed::train;
using Model = nn::Linear<float>;
using Target = heed::Tensor3<float>;

namespace {

Model small_model() {
  Model model(4, 3);
  nn::initialise(model, nn::Init::xavier_uniform, 7);
  return model;
}

// Batch n: inputs, and targets of a map that the model can learn.
train::Batch<Target, Target> batch_of(Index n) {
  const auto x = tokens<float>(2, 3, 4, static_cast<std::uint64_t>(100 + n));
  Model wanted(4, 3);
  scatter(wanted, 1, 5);
  return {x, wanted.forward(x)};
}

// By hand, with no call of train().
Model by_hand(Index steps, Index accumulate) {
  Model model = small_model();
  train::Adam optimizer(model, train::adam_w(0.02));
  for (Index step = 0; step < steps; ++step) {
    auto gradients = nn::gradients_of(model);
    for (Index n = step * accumulate; n < (step + 1) * accumulate; ++n) {
      const auto batch = batch_of(n);
      const auto run = model.forward_train(batch.input);
      auto loss = train::mean_squared_error(run.out, batch.target);
      loss.gradient = loss.gradient * (1 / static_cast<float>(accumulate));
      model.backward(loss.gradient, run.saved, gradients);
    }
    train::clip_global_norm(gradients, 0.5);
    optimizer.step(model, gradients);
  }
  return model;
}

const auto poisoned = [](Index at, const char* parameter, double number) {
  return [=](const Model& model, const auto& batch, Model& gradients, const train::Pass& pass) {
    const double loss = train::regression()(model, batch, gradients, pass);
    if (pass.options.seed == train::batch_seed(0, at)) {
      nn::each_parameter(gradients, [&](const std::string& name, auto& g) {
        if (name == parameter) g.value(1, 0) = static_cast<float>(number);
      });
    }
    return loss;
  };
};

std::string read_all(std::FILE* file) {
  std::string text(100000, ' ');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  return text;
}

}  // namespace

TEST_CASE("train: equals the loop by hand, bit for bit, batches accumulated or not") {
  for (const Index accumulate : {1, 4}) {
    Model model = small_model();
    train::Adam optimizer(model, train::adam_w(0.02));
    const auto progress = train::train(model, optimizer, batch_of, train::regression(),
                                       {.steps = 6, .accumulate = accumulate, .clip = 0.5});
    CHECK(same_parameters(model, by_hand(6, accumulate)));
    CHECK(progress.step == 6);
    CHECK(progress.batch == 6 * accumulate);
    CHECK(progress.losses.size() == 6);
    CHECK(progress.losses.back() < progress.losses.front());
  }
}

TEST_CASE("train: a run that goes on equals one that never stopped, in bfloat16 too") {
  for (const auto compute : {heed::Compute::full, heed::Compute::bfloat16}) {
    const train::TrainOptions whole{
        .steps = 7,
        .learning_rate = train::CosineWithWarmup{.peak = 0.05, .warmup = 2, .total = 7},
        .compute = compute};
    Model one = small_model(), two = small_model(), three = small_model();
    train::Adam first(one), second(two), third(three);
    const auto straight = train::train(one, first, batch_of, train::regression(), whole);
    int asked = 0;
    const auto stopped = train::train(two, second, batch_of, train::regression(), whole,
                                      {.stop = [&] { return ++asked == 3; }});
    CHECK(stopped.step == 3);
    const heed::test::TemporaryFile file("");
    train::save_checkpoint(file.path(), two, second, stopped);
    auto progress = train::load_checkpoint(file.path(), three, third);
    progress = train::train(three, third, batch_of, train::regression(), whole, {}, progress);
    CHECK(same_parameters(one, three));
    CHECK(progress.losses == straight.losses);
    const heed::files::Safetensors saved(file.path());
    CHECK(saved.tensors().at("model.weight").dtype == "F32");
    CHECK(error_of([&] {
            train::train(three, third, batch_of, train::regression(), {.steps = 9, .seed = 4}, {},
                         progress);
          }).find("the run was begun with seed 0, options have 4") != std::string::npos);
  }
}

TEST_CASE("train: batches have dropout seeds of their own") {
  std::map<std::uint64_t, int> seen;
  Model model = small_model();
  train::Sgd optimizer(model);
  const auto watch = [&](const Model& m, const auto& batch, Model& gradients,
                         const train::Pass& pass) {
    CHECK(pass.options.mode == nn::Mode::train);
    ++seen[pass.options.seed];
    return train::regression()(m, batch, gradients, pass);
  };
  train::train(model, optimizer, batch_of, watch, {.steps = 5, .accumulate = 2, .seed = 3});
  CHECK(seen.size() == 10);
  train::train(model, optimizer, batch_of, watch, {.steps = 5, .seed = 4});
  CHECK(seen.size() == 15);
}

TEST_CASE("train: callbacks see every step; held-out loss is asked for when it is due") {
  Model model = small_model();
  train::Sgd optimizer(model, {.learning_rate = 0.1});
  std::vector<Index> steps, evaluated;
  const auto watch = [&](const train::Report& report) {
    steps.push_back(report.progress.step);
    CHECK(report.loss == report.progress.losses.back());
    CHECK(report.norm > 0);
    CHECK(report.learning_rate == 0.1);
    CHECK(report.last() == (report.progress.step == 5));
    if (report.evaluated) evaluated.push_back(report.progress.held_out.back().step);
  };
  const auto progress = train::train(
      model, optimizer, batch_of, train::regression(), {.steps = 5, .evaluate_every = 2},
      {.on_step = {watch}, .evaluate = [](const Model& m) {
         return train::mean_loss(m, batch_of, 2, train::mean_squared_error_criterion());
       }});
  CHECK(steps == std::vector<Index>{1, 2, 3, 4, 5});
  CHECK(evaluated == std::vector<Index>{2, 4, 5});
  CHECK(progress.held_out.size() == 3);
}

TEST_CASE("train: stops early after as many evaluations without a new best as patience has") {
  Model model = small_model();
  train::Sgd optimizer(model);
  const std::vector<double> losses{5, 3, 4, 3, 3, 1};
  std::size_t at = 0;
  std::vector<Index> best;
  const auto progress = train::train(model, optimizer, batch_of, train::regression(),
                                     {.steps = 100, .evaluate_every = 2, .patience = 3},
                                     {.on_step = {[&](const train::Report& report) {
                                        if (train::is_best(report))
                                          best.push_back(report.progress.step);
                                        CHECK(report.last() == (report.progress.step == 10));
                                      }},
                                      .evaluate = [&](const Model&) { return losses[at++]; }});
  CHECK(progress.stopped_early);
  CHECK(progress.step == 10);
  CHECK(best == std::vector<Index>{2, 4});
  CHECK(train::best_held_out(progress)->step == 4);
}

TEST_CASE("train: the step at which stop ends a run is its last") {
  Model model = small_model();
  train::Sgd optimizer(model);
  std::vector<Index> last;
  int asked = 0;
  const auto watch = [&](const train::Report& report) {
    if (report.last()) last.push_back(report.progress.step);
  };
  const auto progress = train::train(model, optimizer, batch_of, train::regression(),
                                     {.steps = 9, .evaluate_every = 3},
                                     {.on_step = {watch},
                                      .evaluate = [](const Model&) { return 1.0; },
                                      .stop = [&] { return ++asked == 4; }});
  CHECK(progress.step == 4);
  CHECK(last == std::vector<Index>{4});
  CHECK(progress.held_out.back().step == 4);
}

TEST_CASE("train: patience is not counted over where a run ended before it went on") {
  const auto run = [](const std::vector<Index>& ends) {
    Model model = small_model();
    train::Sgd optimizer(model);
    train::Progress progress;
    for (const Index end : ends) {
      progress = train::train(model, optimizer, batch_of, train::regression(),
                              {.steps = end, .evaluate_every = 4, .patience = 3},
                              {.evaluate = [](const Model&) { return 1.0; }}, progress);
    }
    return progress;
  };
  for (const auto& ends : {std::vector<Index>{32}, {6, 7, 9, 10, 11, 32}, {16, 32}}) {
    const auto progress = run(ends);
    CHECK(progress.stopped_early);
    CHECK(progress.step == 16);
  }
}

#if !defined(__FAST_MATH__)
TEST_CASE("train: on_failure is given what the run was before it failed") {
  Model model = small_model();
  train::Sgd optimizer(model);
  train::Progress kept;
  CHECK_THROWS_AS(
      train::train(model, optimizer, batch_of,
                   poisoned(3, "bias", std::numeric_limits<double>::infinity()), {.steps = 9},
                   {.on_failure = [&](const train::Progress& was) { kept = was; }}),
      heed::Error);
  CHECK(kept.step == 3);
  CHECK(kept.losses.size() == 3);
}

TEST_CASE("train: a loss or gradient that is not finite stops, is named, and changes nothing") {
  const double inf = std::numeric_limits<double>::infinity();
  Model model = small_model();
  train::Adam optimizer(model);
  const auto run = [&](const auto& objective, train::Progress progress = {}) {
    return error_of([&] {
      train::train(model, optimizer, batch_of, objective, {.steps = 9}, {}, std::move(progress));
    });
  };
  CHECK(run(poisoned(3, "bias", inf)) ==
        "heed::train::train: step 4: the gradient of bias is not finite");
  CHECK(optimizer.steps() == 3);
  const Model before = model, mean = optimizer.mean(), square = optimizer.square();
  const train::Progress progress{.step = 3, .batch = 3};
  CHECK(run(poisoned(3, "weight", std::nan("")), progress) ==
        "heed::train::train: step 4: the gradient of weight is not finite");
  const auto nan_loss = [](const Model&, const auto&, Model&, const train::Pass&) {
    return std::nan("");
  };
  CHECK(run(nan_loss, progress) == "heed::train::train: step 4: the loss of batch 3 is not finite");
  CHECK(same_parameters(model, before));
  CHECK(same_parameters(optimizer.mean(), mean));
  CHECK(same_parameters(optimizer.square(), square));
  CHECK(optimizer.steps() == 3);
  CHECK(error_of([&] {
          Model other = small_model();
          train::Sgd sgd(other);
          train::train(other, sgd, batch_of, train::regression(), {.steps = 2},
                       {.evaluate = [&](const Model&) { return inf; }});
        }) == "heed::train::train: step 2: the held-out loss is not finite");
  nn::each_parameter(model, [&](const std::string& name, auto& p) {
    if (name == "bias") p.value(0, 0) = static_cast<float>(inf);
  });
  CHECK(run(train::regression(), progress) ==
        "heed::train::train: step 4: the loss of batch 3 is not finite; nor is the parameter bias");
}

TEST_CASE("train: an overflow halves the loss scale and the step is computed again") {
  const auto overflows_from = [](double scale) {
    return [=](const Model& model, const auto& batch, Model& gradients, const train::Pass& pass) {
      const double loss = train::regression()(model, batch, gradients, pass);
      if (pass.scale >= scale) {
        nn::each_parameter(gradients, [&](const auto&, auto& g) { g.value(0, 0) *= INFINITY; });
      }
      return loss;
    };
  };
  Model model = small_model(), unscaled = small_model();
  train::Adam optimizer(model, train::adam_w(0.02)), plain(unscaled, train::adam_w(0.02));
  const train::LossScale scale{.start = 1024, .grow_after = 4};
  std::vector<double> scales;
  const auto watch = [&](const train::Report& report) {
    scales.push_back(report.progress.loss_scale);
  };
  train::train(model, optimizer, batch_of, overflows_from(256), {.steps = 6, .loss_scale = scale},
               {.on_step = {watch}});
  train::train(unscaled, plain, batch_of, train::regression(), {.steps = 6});
  CHECK(scales == std::vector<double>{128, 128, 128, 256, 128, 128});
  CHECK(same_parameters(model, unscaled));
  CHECK(error_of([&] {
          train::train(model, optimizer, batch_of, overflows_from(0),
                       {.steps = 1, .loss_scale = scale});
        }) == "heed::train::train: step 1: the gradient of weight is not finite");
}

TEST_CASE("train: the loss scale has an upper bound, and one that is not finite ends") {
  const auto no_gradient = [](const Model&, const auto&, Model&, const train::Pass& pass) {
    return 0 * pass.scale;
  };
  const auto scaled = [&](const train::LossScale& scale, train::Progress progress = {}) {
    Model model = small_model();
    train::Sgd optimizer(model);
    return train::train(model, optimizer, batch_of, no_gradient, {.steps = 60, .loss_scale = scale},
                        {}, std::move(progress));
  };
  CHECK(scaled({.grow_after = 1}).loss_scale == 0x1p40);
  CHECK(scaled({.start = 8, .grow_after = 1, .most = 12}).loss_scale == 8);
  train::Progress progress{.loss_scale = INFINITY};
  CHECK(train::halve_scale(progress, {}));
  CHECK(progress.loss_scale == 65536);
  progress.loss_scale = std::nan("");
  CHECK_FALSE(train::halve_scale(progress, {}));
}

TEST_CASE("train: gradients in half that round to 0 are learned from under a loss scale") {
  const auto small = [](const Model& model, const auto& batch, Model& gradients,
                        const train::Pass& pass) {
    train::Pass less = pass;
    less.scale *= 1e-9;
    return train::regression()(model, batch, gradients, less);
  };
  Model plain = small_model(), scaled = plain;
  const train::AdamOptions tiny{.learning_rate = 0.05, .eps = 1e-20};
  train::Adam of_plain(plain, tiny), of_scaled(scaled, tiny);
  train::train(plain, of_plain, batch_of, small, {.steps = 5, .compute = heed::Compute::half});
  CHECK(plain.weight().value == small_model().weight().value);  // a bias's gradient is no product
  const auto progress =
      train::train(scaled, of_scaled, batch_of, small,
                   {.steps = 60,
                    .compute = heed::Compute::half,
                    .loss_scale = train::LossScale{.start = 0x1p80, .most = 0x1p80}});
  CHECK(progress.loss_scale > 0x1p20);
  CHECK(progress.loss_scale < 0x1p60);
  CHECK(progress.losses.back() < 0.05 * progress.losses.front());
}

TEST_CASE("train: an overflow of half without a loss scale names the step, and changes nothing") {
  Model model = small_model();
  const Model before = model;
  train::Adam optimizer(model);
  const auto large = [](const Model& m, const auto& batch, Model& gradients,
                        const train::Pass& pass) {
    train::Pass more = pass;
    more.scale *= 1e9;
    return train::regression()(m, batch, gradients, more);
  };
  const auto run = [&](heed::Compute compute) {
    train::train(model, optimizer, batch_of, large, {.steps = 1, .compute = compute});
  };
  CHECK(error_of([&] { run(heed::Compute::half); }) ==
        "heed::train::train: step 1: the gradient of weight is not finite");
  CHECK(same_parameters(model, before));
  run(heed::Compute::bfloat16);
  CHECK_FALSE(same_parameters(model, before));
}
#endif

TEST_CASE("train: options outside their range are refused") {
  Model model = small_model();
  train::Sgd optimizer(model);
  const auto refused = [&](const train::TrainOptions& options) {
    return error_of(
        [&] { train::train(model, optimizer, batch_of, train::regression(), options); });
  };
  CHECK(refused({.steps = 1, .accumulate = 0}).find("accumulate") != std::string::npos);
  CHECK(refused({.steps = 1, .clip = -1}).find("clip -1") != std::string::npos);
  CHECK(refused({}).find("steps") != std::string::npos);
  CHECK(refused({.steps = -5}).find("steps") != std::string::npos);
  CHECK(refused({.steps = 1, .threads = -1}).find("threads") != std::string::npos);
  CHECK(refused({.steps = 1, .evaluate_every = -2}).find("evaluate_every") != std::string::npos);
  CHECK(refused({.steps = 1, .patience = -1}).find("patience") != std::string::npos);
  CHECK(refused({.steps = 1, .loss_scale = train::LossScale{.most = 1}}).find("most") !=
        std::string::npos);
  CHECK(refused({.steps = 1, .loss_scale = train::LossScale{.start = 0}}).find("start") !=
        std::string::npos);
  CHECK(refused({.steps = 1, .learning_rate = [](Index) { return -1.0; }}).find("rate is -1") !=
        std::string::npos);
  CHECK(same_parameters(model, small_model()));
}

TEST_CASE("train: a mean loss is of batches that are there, in Mode::eval") {
  struct Counted {
    Target input, target;
    std::size_t tokens() const { return 5; }
  };
  CHECK(train::tokens_of_batch(Counted{}) == 5);
  nn::FeedForward<float> part(4, 6, {.dropout = 0.5});
  scatter(part, 1, 3);
  const auto batch = [](Index n) {
    const auto x = tokens<float>(2, 3, 4, static_cast<std::uint64_t>(n));
    return train::Batch{x, x};
  };
  const auto loss = [&](Index count, nn::Mode mode) {
    return train::mean_loss(part, batch, count, train::mean_squared_error_criterion(),
                            {.mode = mode});
  };
  CHECK(loss(2, nn::Mode::train) == loss(2, nn::Mode::eval));
  CHECK_THROWS_AS(loss(0, nn::Mode::eval), heed::Error);
}

TEST_CASE("progress bar: one line that moves on a terminal, a line now and then without one") {
  for (const bool terminal : {true, false}) {
    std::FILE* file = std::tmpfile();
    REQUIRE(file != nullptr);
    Model model = small_model();
    train::Sgd optimizer(model);
    train::train(model, optimizer, batch_of, train::regression(), {.steps = 40},
                 {.on_step = {train::ProgressBar(file, terminal)}});
    const std::string text = read_all(file);
    std::fclose(file);
    const auto lines = std::count(text.begin(), text.end(), '\n');
    CHECK(lines == (terminal ? 1 : 11));
    CHECK((text.find('\r') != std::string::npos) == terminal);
    CHECK(text.find("[############] 40/40  loss ") != std::string::npos);
    CHECK(text.find(" tokens/s  0:00") != std::string::npos);
  }
  train::Progress progress{.step = 30, .losses = {2, 1}, .held_out = {{30, 0.75}}};
  CHECK(train::progress_line({progress, 60, 1, 1, 0.1, 12345, 10, 100, true}) ==
        "[######------] 30/60  loss 1.5  held out 0.75  12.3k tokens/s  1:40 left");
  CHECK(train::clock_text(3723) == "1:02:03");
}

TEST_CASE("shuffled: each sample once an epoch, in another order the next") {
  const train::Shuffled order(10, 4, 7);
  std::vector<Index> all;
  for (Index n = 0; n < 5; ++n) {
    for (const Index sample : order(n)) all.push_back(sample);
  }
  std::vector<Index> first(all.begin(), all.begin() + 10), second(all.begin() + 10, all.end());
  CHECK(first != second);
  CHECK(order(2) == std::vector<Index>(all.begin() + 8, all.begin() + 12));
  for (auto* epoch : {&first, &second}) {
    std::sort(epoch->begin(), epoch->end());
    for (Index n = 0; n < 10; ++n) CHECK((*epoch)[static_cast<std::size_t>(n)] == n);
  }
  CHECK_THROWS_AS(train::Shuffled(3, 4), heed::Error);
  CHECK_THROWS_AS(train::Shuffled(10, 4)(-1), heed::Error);
  CHECK_THROWS_AS(train::Shuffled(4, 4)(-1), heed::Error);
}
