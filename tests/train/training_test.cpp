// A model learns, and the same seed gives the same bits whatever the threads.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "heed/nn/initialise.hpp"
#include "heed/nn/simple_transformer.hpp"
#include "heed/train/adam.hpp"
#include "heed/train/checkpoint.hpp"
#include "heed/train/mean_squared_error.hpp"
#include "heed/train/memory.hpp"
#include "heed/train/schedule.hpp"
#include "heed/train/sgd.hpp"
#include "heed/train/shuffled.hpp"
#include "heed/train/train.hpp"
#include "nn/gradients.hpp"
#include "support/temporary_file.hpp"

#if defined(__GLIBC__)
#include <sys/resource.h>
#endif

using namespace nn_test;
namespace nn = heed::nn;
namespace train = heed::train;
using Model = nn::SimpleTransformer<double>;

namespace {

Model small_model() {
  Model model({.vocabulary = 5,
               .features = 8,
               .heads = 2,
               .layers = 2,
               .classes = 3,
               .positions = 6,
               .hidden = 12,
               .dropout = 0.1});
  nn::initialise(model, nn::Init::xavier_uniform, 7);
  return model;
}

heed::Tensor2<int> token_ids(std::uint32_t batch, Index sequences = 12) {
  heed::Tensor2<int> ids(sequences, 6);
  for (Index n = 0; n < ids.size(); ++n) {
    ids.data()[n] =
        static_cast<int>(heed::philox(42, {static_cast<std::uint32_t>(n), batch, 0, 0})[0] % 5);
  }
  return ids;
}

// The first token, 3 and 4 as 2.
std::vector<int> labels_of(const heed::Tensor2<int>& ids) {
  std::vector<int> labels;
  for (Index b = 0; b < ids.dimension(0); ++b) labels.push_back(std::min(2, ids(b, 0)));
  return labels;
}

// A user's own module: x + second(tanh(first(x))).
template <class T>
struct Residual {
  nn::Linear<T> first{4, 6}, second{6, 4};
  struct Saved {
    typename nn::Linear<T>::Saved first, second;
  };

  template <class Self, class Visit>
  static void each_parameter(Self& self, const Visit& visit, const std::string& prefix) {
    nn::each_parameter(self.first, visit, prefix + "first.");
    nn::each_parameter(self.second, visit, prefix + "second.");
  }
  heed::Tensor3<T> forward(const heed::Tensor3<T>& x, const nn::Options& options = {}) const {
    return x + second.forward(first.forward(x, options, nn::Tanh{}), options);
  }
  auto forward_train(const heed::Tensor3<T>& x, const nn::Options& options = {}) const {
    auto [before, of_first] = first.forward_train(x, options);
    heed::Tensor3<T> hidden = before;
    nn::activate_tokens(nn::Tanh{}, heed::mutable_view_of(hidden), options);
    auto [y, of_second] = second.forward_train(hidden, options);
    const heed::Tensor3<T> out = x + y;
    return nn::OutWithSaved{out, Saved{std::move(of_first), std::move(of_second)}};
  }
  heed::Tensor3<T> backward(const heed::Tensor3<T>& dy, const Saved& saved, Residual& gradients,
                            const nn::Options& options = {}) const {
    // forward: hidden = tanh(…); so: d = d · (1 − hidden²).
    const auto d_hidden = second.backward(dy, saved.second, gradients.second, options);
    const heed::Tensor3<T> d = d_hidden * (T(1) - saved.second.x * saved.second.x);
    return dy + first.backward(d, saved.first, gradients.first, options);
  }
};

struct Trained {
  Model model;
  train::Progress progress;
};

train::Batch<heed::Tensor2<int>, std::vector<int>> batch_of(Index n) {
  const auto ids = token_ids(static_cast<std::uint32_t>(n));
  return {ids, labels_of(ids)};
}

const auto objective = train::classification();

Trained trained(Index steps, int threads) {
  Trained result{small_model(), {}};
  train::Adam optimizer(result.model, train::adam_w(1e-2));
  result.progress = train::train(result.model, optimizer, batch_of, objective,
                                 {.steps = steps, .clip = 1, .threads = threads});
  return result;
}

// Trains to `steps` from the checkpoint at the path, if there is one, and leaves one at each step;
// with all that the state of a run depends on.
Trained trained_from(const std::filesystem::path& path, Index steps) {
  Trained result{small_model(), {}};
  Model& model = result.model;
  train::Adam optimizer(model, train::adam_w(1e-2));
  const auto progress = train::resume(path, model, optimizer);
  const auto shuffled = [order = train::Shuffled(24, 1, 3)](Index n) {
    return batch_of(order(n)[0]);
  };
  const auto held_out = [](const Model& m) {
    return train::mean_loss(m, batch_of, 1, train::cross_entropy_criterion());
  };
  result.progress = train::train(
      model, optimizer, shuffled, objective,
      {.steps = steps,
       .accumulate = 2,
       .learning_rate = train::CosineWithWarmup{.peak = 0.01, .warmup = 4, .total = steps},
       .clip = 1,
       .seed = 5,
       .threads = 1,
       .evaluate_every = 4,
       .loss_scale = train::LossScale{.start = 4, .grow_after = 3}},
      {.on_step = {train::checkpoint_every(1, path, model, optimizer)}, .evaluate = held_out},
      progress);
  return result;
}

// A checkpoint whose progress nobody has checked.
void save_unchecked(const std::filesystem::path& path, const Model& model,
                    const train::Adam<Model>& optimizer, const train::Progress& progress) {
  heed::files::SafetensorsWriter writer;
  writer.describe(train::checkpoint_key, train::checkpoint_version);
  heed::files::add_parameters(writer, model, "model.");
  heed::files::add_parameters(writer, optimizer.mean(), "optimizer.mean.");
  heed::files::add_parameters(writer, optimizer.square(), "optimizer.square.");
  writer.add_values("optimizer.steps", std::vector<std::int64_t>{optimizer.steps()});
  train::add_progress(writer, progress);
  writer.write(path);
}

void check_same(const train::Progress& one, const train::Progress& two) {
  CHECK(one.step == two.step);
  CHECK(one.batch == two.batch);
  CHECK(one.seed == two.seed);
  CHECK(one.losses == two.losses);
  CHECK(one.loss_scale == two.loss_scale);
  CHECK(one.steps_at_scale == two.steps_at_scale);
  REQUIRE(one.held_out.size() == two.held_out.size());
  for (std::size_t n = 0; n < one.held_out.size(); ++n) {
    CHECK(one.held_out[n].step == two.held_out[n].step);
    CHECK(one.held_out[n].loss == two.held_out[n].loss);
  }
}

}  // namespace

TEST_CASE("training: gradients of a classifier, padded or not, equal central differences") {
  auto model = small_model();
  const auto ids = token_ids(0, 4);
  const std::vector<int> lengths{6, 1, 3, 4};
  const nn::Options options{.mode = nn::Mode::train, .seed = 4};
  for (const bool padded : {false, true}) {
    const auto run =
        padded ? model.forward_train(ids, lengths, options) : model.forward_train(ids, options);
    const auto logits = padded ? model.forward(ids, lengths, options) : model.forward(ids, options);
    CHECK(same_bits(run.out, logits));
    auto gradients = nn::gradients_of(model);
    const auto loss = train::cross_entropy(run.out, labels_of(ids));
    model.backward(loss.gradient, run.saved, gradients);
    const auto again = [&] {
      return train::cross_entropy(
                 padded ? model.forward(ids, lengths, options) : model.forward(ids, options),
                 labels_of(ids))
          .loss;
    };
    const double least = least_gradient(gradients);
    for (const auto& input : heed::inspect::gradcheck_parameters(model, gradients)) {
      const auto check = heed::inspect::gradcheck(again, {input});
      INFO(check);
      CHECK((check.ok() || std::abs(check.gradient - check.difference) < 1e-6 * least));
    }
  }
}

TEST_CASE("training: a user's own module joins gradcheck and the optimizers") {
  check_gradients([]<class T>() { return Residual<T>(); }, 2, 3, 4, {});
  Residual<double> model;
  scatter(model, 0.5, 3);
  auto gradients = nn::gradients_of(model);
  train::Adam optimizer(model, train::adam_w(1e-2));
  const auto x = tokens<double>(4, 3, 4, 1), target = tokens<double>(4, 3, 4, 2);
  double first = 0, last = 0;
  for (int step = 0; step < 200; ++step) {
    const auto run = model.forward_train(x);
    const auto loss = train::mean_squared_error(run.out, target);
    nn::zero(gradients);
    model.backward(loss.gradient, run.saved, gradients);
    optimizer.step(model, gradients);
    (step == 0 ? first : last) = loss.loss;
  }
  CHECK(last < 0.5 * first);
}

TEST_CASE("training: the loss falls, and threads change no bit") {
  const auto one = trained(60, 1), two = trained(60, 2);
  const auto& losses = one.progress.losses;
  CHECK(losses.front() > 0.9);
  CHECK(losses.back() < 0.5 * losses.front());
  CHECK(losses == two.progress.losses);
  CHECK(same_parameters(one.model, two.model));
  CHECK_FALSE(same_parameters(one.model, small_model()));
}

TEST_CASE("checkpoint: a run whose process is killed goes on with the bits of one that was not") {
  const heed::test::TemporaryFile file("");
  std::filesystem::remove(file.path());
  constexpr Index steps = 60;
  int killed = 0;
  for (int round = 0; round < 3; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      trained_from(file.path(), steps);
      for (;;) ::pause();
    }
    for (int ms = 0; ms < 60000 && !std::filesystem::exists(file.path()); ++ms) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(3 + 2 * round));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    killed += WIFSIGNALED(status) ? 1 : 0;
    Model model = small_model();
    train::Adam optimizer(model);
    const auto progress = train::load_checkpoint(file.path(), model, optimizer);
    CHECK(progress.step >= 1);
    CHECK(progress.step == optimizer.steps());
    CHECK(progress.losses.size() == static_cast<std::size_t>(progress.step));
    if (progress.step == steps) break;
  }
  CHECK(killed > 0);
  const heed::test::TemporaryFile whole("");
  std::filesystem::remove(whole.path());
  const auto resumed = trained_from(file.path(), steps);
  const auto straight = trained_from(whole.path(), steps);
  CHECK(same_parameters(resumed.model, straight.model));
  check_same(resumed.progress, straight.progress);
}

TEST_CASE("checkpoint: numbers of a progress come back, and those that cannot be are refused") {
  const heed::test::TemporaryFile file("");
  Model model = small_model();
  train::Adam optimizer(model);
  const train::Progress good{.step = 3,
                             .batch = 7,
                             .seed = 0xFEDCBA9876543210u,
                             .losses = {5, 4, 2},
                             .held_out = {{1, 6}, {3, 8}},
                             .loss_scale = 16,
                             .steps_at_scale = 9};
  train::save_checkpoint(file.path(), model, optimizer, good);
  check_same(train::load_checkpoint(file.path(), model, optimizer), good);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refused = [&](const char* why, const auto& spoil) {
    train::Progress bad = good;
    spoil(bad);
    CHECK(error_of([&] { train::save_checkpoint(file.path(), model, optimizer, bad); }).find(why) !=
          std::string::npos);
    save_unchecked(file.path(), model, optimizer, bad);
    CHECK(error_of([&] { train::load_checkpoint(file.path(), model, optimizer); }).find(why) !=
          std::string::npos);
  };
  refused("step -5", [](auto& p) { p.step = -5; });
  refused("batch -3", [](auto& p) { p.batch = -3; });
  refused("steps_at_scale -1", [](auto& p) { p.steps_at_scale = -1; });
  refused("step 3, losses of 2", [](auto& p) { p.losses.pop_back(); });
  refused("held-out step 1", [](auto& p) { p.held_out[1].step = 1; });
  refused("held-out step 4", [](auto& p) { p.held_out[1].step = 4; });
#if !defined(__FAST_MATH__)
  refused("loss_scale", [&](auto& p) { p.loss_scale = nan; });
  refused("loss ", [&](auto& p) { p.losses[1] = nan; });
  refused("held-out loss", [&](auto& p) { p.held_out[1].loss = nan; });
#endif
  optimizer.restore_steps(-1);
  train::save_checkpoint(file.path(), model, optimizer, good);
  CHECK(error_of([&] { train::load_checkpoint(file.path(), model, optimizer); }).find("steps -1") !=
        std::string::npos);
  CHECK_THROWS_AS(train::resume(file.path().string() + std::string(300, 'x'), model, optimizer),
                  heed::Error);
}

#if !defined(__FAST_MATH__)
TEST_CASE("checkpoint: weights that are not finite do not replace a good checkpoint") {
  const heed::test::TemporaryFile file("");
  Model model = small_model();
  train::Sgd optimizer(model);
  train::Progress progress{.step = 1, .losses = {2}};
  const auto save = train::checkpoint_every(1, file.path(), model, optimizer);
  const auto report = [&] { save({progress, 2, 2, 1, 0.1, 0, 1, 1, false}); };
  report();
  nn::each_parameter(model, [](const std::string& name, auto& parameter) {
    if (name == "embedding.weight") parameter.value(1, 0) = INFINITY;
  });
  CHECK(error_of(report) ==
        "heed::train::checkpoint_every: step 1: the parameter embedding.weight is not finite");
  train::load_checkpoint(file.path(), model, optimizer);
  CHECK(same_parameters(model, small_model()));
}
#endif

TEST_CASE("checkpoint: a file that is cut, foreign or of another model changes nothing") {
  const heed::test::TemporaryFile file("");
  Model model = small_model();
  train::Adam optimizer(model);
  train::train(model, optimizer, batch_of, objective, {.steps = 2});
  train::Progress progress{.step = 2, .losses = {2, 1}, .held_out = {{1, 3}}, .loss_scale = 4};
  train::save_checkpoint(file.path(), model, optimizer, progress);
  const auto refused = [&](const char* why) {
    Model other = small_model();
    train::Adam fresh(other);
    const std::string said = error_of([&] { train::load_checkpoint(file.path(), other, fresh); });
    INFO(said);
    CHECK(said.find(why) != std::string::npos);
    CHECK(said.find(file.path().string()) != std::string::npos);
    CHECK(same_parameters(other, small_model()));
    CHECK(same_parameters(fresh.mean(), nn::gradients_of(other)));
    CHECK(fresh.steps() == 0);
  };
  Model read = small_model();
  train::Adam moments(read);
  const auto again = train::load_checkpoint(file.path(), read, moments);
  CHECK(same_parameters(read, model));
  CHECK(same_parameters(moments.mean(), optimizer.mean()));
  CHECK(same_parameters(moments.square(), optimizer.square()));
  CHECK((again.losses == progress.losses && again.held_out[0].loss == 3 && again.loss_scale == 4));
  train::Sgd sgd(read);
  CHECK(error_of([&] {
          train::load_checkpoint(file.path(), read, sgd);
        }).find("\"optimizer.velocity.embedding.weight\" is not in the file") != std::string::npos);
  const auto size = std::filesystem::file_size(file.path());
  std::filesystem::resize_file(file.path(), size - 1);
  refused("claims bytes");
  std::filesystem::resize_file(file.path(), 5);
  refused("too few for a header");
  heed::files::save(model, file.path());
  refused("the file is not a checkpoint");
  heed::files::SafetensorsWriter writer;
  writer.describe(train::checkpoint_key, "2");
  writer.write(file.path());
  refused("version \"2\"");
  train::save_checkpoint(file.path(), nn::Linear<double>(2, 3),
                         train::Adam(nn::Linear<double>(2, 3)), progress);
  refused("\"model.embedding.weight\" is not in the file");
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Pages that the process is given while three blocks of 24 MiB are written, then freed: by itself
// glibc keeps at most 64 MiB.
long page_faults() {
  const auto faults = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
  };
  const long before = faults();
  const std::vector<std::vector<std::byte>> blocks(3,
                                                   std::vector<std::byte>(24 << 20, std::byte{1}));
  CHECK(blocks.back().back() == std::byte{1});
  return faults() - before;
}

TEST_CASE("training: freed memory is kept where the process is told so") {
  REQUIRE(train::keep_freed_memory());
  page_faults();
  CHECK(page_faults() < 100);  // of 24576
}
#endif
